PRAGMA foreign_keys = OFF;
PRAGMA application_id = 1165189962;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE event (
    job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',1,1795908103421,'submitted','');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',2,1795908103447,'planning','');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',3,1795908103457,'queued','');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',4,1795908103457,'note','10 documents of 1 inputs, 148 bytes, in 3 tasks');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',5,1795908103462,'running','');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',6,1795908103545,'task','task 0 is leased, attempt 1');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',7,1795908103573,'task','task 1 is leased, attempt 1');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',8,1795908103573,'task','task 0 failed: `t.csv`, from row 0 on: Error during planning: there is no column `nothing`; there are id, text, wrong');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',9,1795908103577,'failed','`t.csv`, from row 0 on: Error during planning: there is no column `nothing`; there are id, text, wrong');
INSERT INTO "event" VALUES('0f76141b285a4afd9ffed66e67d06a2a',10,1795908103615,'task','task 1 is put down');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',1,1795908103404,'submitted','');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',2,1795908103408,'planning','');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',3,1795908103421,'queued','');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',4,1795908103421,'note','3 documents of 1 inputs, 6025 bytes, in 1 tasks');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',5,1795908103422,'running','');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',6,1795908103426,'task','task 0 is leased, attempt 1');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',7,1795908103869,'task','task 0 is done');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',8,1795908103877,'committing','');
INSERT INTO "event" VALUES('54c2b0ab7ae041b79744dcee4219b82e',9,1795908103905,'completed','');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',1,1795908104149,'submitted','');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',2,1795908104162,'planning','');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',3,1795908104167,'queued','');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',4,1795908104167,'note','20 documents of 1 inputs, 468 bytes, in 5 tasks');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',5,1795908104168,'running','');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',6,1795908104169,'task','task 0 is leased, attempt 1');
INSERT INTO "event" VALUES('68369129de0840bea7a929c6f1099b44',7,1795908104174,'task','task 1 is leased, attempt 1');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',1,1795908103409,'submitted','');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',2,1795908103418,'planning','');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',3,1795908103437,'queued','');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',4,1795908103437,'note','10 documents of 1 inputs, 148 bytes, in 3 tasks');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',5,1795908103439,'running','');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',6,1795908103453,'task','task 0 is leased, attempt 1');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',7,1795908103453,'task','task 1 is leased, attempt 1');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',8,1795908103537,'task','task 0 is done');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',9,1795908103561,'task','task 1 is done');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',10,1795908103565,'task','task 2 is leased, attempt 1');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',11,1795908103609,'task','task 2 is done');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',12,1795908103611,'committing','');
INSERT INTO "event" VALUES('9f4c74a24871417da713c7248dcc57b0',13,1795908103629,'completed','');
CREATE TABLE idempotency (
    kind TEXT NOT NULL,
    token TEXT NOT NULL,
    job TEXT NOT NULL REFERENCES job,
    digest TEXT NOT NULL,
    PRIMARY KEY (kind, token)
) STRICT, WITHOUT ROWID;
INSERT INTO "idempotency" VALUES('comprehend.sentiment','once','54c2b0ab7ae041b79744dcee4219b82e','16815b70ecbf8d97fec482b174cb9c98242d69b426f229354473f92cf2214934');
CREATE TABLE input (
    job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    length INTEGER NOT NULL,
    etag TEXT NOT NULL,
    documents INTEGER NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "input" VALUES('0f76141b285a4afd9ffed66e67d06a2a',0,'t.csv',148,'7f587aacb21043b11b3392493db2369c',10);
INSERT INTO "input" VALUES('54c2b0ab7ae041b79744dcee4219b82e',0,'in/a.txt',6025,'dd9f65b316995585b185dc8d02ba1d5d',3);
INSERT INTO "input" VALUES('68369129de0840bea7a929c6f1099b44',0,'long.csv',468,'95cd047f1b1634d63930af42c0144c86',20);
INSERT INTO "input" VALUES('9f4c74a24871417da713c7248dcc57b0',0,'t.csv',148,'7f587aacb21043b11b3392493db2369c',10);
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT,
    state TEXT NOT NULL,
    submitted INTEGER NOT NULL,
    begun INTEGER,
    ended INTEGER,
    why TEXT,
    spec TEXT NOT NULL,
    planned TEXT NOT NULL,
    samples TEXT NOT NULL,
    assembled INTEGER NOT NULL DEFAULT 0,
    planning TEXT
) STRICT;
INSERT INTO "job" VALUES('54c2b0ab7ae041b79744dcee4219b82e','comprehend.sentiment','languages','completed',1795908103404,1795908103422,1795908103905,NULL,'{"kind":"comprehend.sentiment","name":"languages","priority":0,"input":{"bucket":"texts","prefix":"in/","split":"lines"},"output":{"bucket":"answers","folder":"out/000000000000-SENTIMENT-54c2b0ab7ae041b79744dcee4219b82e/output/","form":{"archive":{"name":"output.tar.gz","member":"output"}}},"question":{"language":"en"},"details":{"DataAccessRoleArn":"arn:aws:iam::123456789012:role/any","InputDataConfig":{"InputFormat":"ONE_DOC_PER_LINE","S3Uri":"s3://texts/in/"},"LanguageCode":"en"}}','{"inputs":1,"tasks":1,"documents":3,"bytes":6025}','[{"file":"a.txt","line":2,"code":"DOCUMENT_SIZE_EXCEEDED","message":"Document size is exceeded maximum size limit 5120 bytes."}]',1,NULL);
INSERT INTO "job" VALUES('9f4c74a24871417da713c7248dcc57b0','score.language','done','completed',1795908103409,1795908103439,1795908103629,NULL,'{"kind":"score.language","name":"done","priority":0,"input":{"bucket":"texts","prefix":"t.csv","split":"rows"},"output":{"bucket":"answers","folder":"x/","form":{"tables":{"ending":null}}},"question":{"column":"text"},"details":null}','{"inputs":1,"tasks":3,"documents":10,"bytes":148}','[]',1,NULL);
INSERT INTO "job" VALUES('0f76141b285a4afd9ffed66e67d06a2a','score.language',NULL,'failed',1795908103421,1795908103462,1795908103577,'`t.csv`, from row 0 on: Error during planning: there is no column `nothing`; there are id, text, wrong','{"kind":"score.language","name":null,"priority":0,"input":{"bucket":"texts","prefix":"t.csv","split":"rows"},"output":{"bucket":"answers","folder":"y/","form":{"tables":{"ending":null}}},"question":{"column":"nothing"},"details":null}','{"inputs":1,"tasks":3,"documents":10,"bytes":148}','[]',0,'{"open":false,"place":null,"losses":{"times":0,"place":null}}');
INSERT INTO "job" VALUES('68369129de0840bea7a929c6f1099b44','score.sentiment','killed','running',1795908104149,1795908104168,NULL,NULL,'{"kind":"score.sentiment","name":"killed","priority":0,"input":{"bucket":"texts","prefix":"long.csv","split":"rows"},"output":{"bucket":"answers","folder":"z/","form":{"tables":{"ending":null}}},"question":{"column":"text","language":"en"},"details":null}','{"inputs":1,"tasks":5,"documents":20,"bytes":468}','[]',0,NULL);
CREATE TABLE task (
    job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    owner TEXT,
    until INTEGER,
    pieces TEXT NOT NULL,
    part TEXT,
    place INTEGER,
    lost INTEGER NOT NULL DEFAULT 0,
    lost_at INTEGER,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "task" VALUES('0f76141b285a4afd9ffed66e67d06a2a',0,'failed',1,NULL,NULL,'[{"input":0,"from":0,"to":64,"first":0,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('0f76141b285a4afd9ffed66e67d06a2a',1,'pending',0,NULL,NULL,'[{"input":0,"from":64,"to":120,"first":4,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('0f76141b285a4afd9ffed66e67d06a2a',2,'pending',0,NULL,NULL,'[{"input":0,"from":120,"to":148,"first":8,"documents":2}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('54c2b0ab7ae041b79744dcee4219b82e',0,'done',1,NULL,NULL,'[{"input":0,"from":0,"to":6025,"first":0,"documents":3}]','{"pieces":[519],"digest":"6deb5cbcb55155f72e110913b87d568d881027ac66a8a18fd3f7c3d30bb33401","usage":{"documents":3,"errors":1,"read":6025,"written":519,"characters":22,"units":6,"compute_ms":431,"wall_ms":441},"samples":[{"file":"a.txt","line":2,"code":"DOCUMENT_SIZE_EXCEEDED","message":"Document size is exceeded maximum size limit 5120 bytes."}]}',NULL,0,NULL);
INSERT INTO "task" VALUES('68369129de0840bea7a929c6f1099b44',0,'leased',1,'0b4010a4bca14021a382ff9819b05e4b',1795908164169,'[{"input":0,"from":0,"to":96,"first":0,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('68369129de0840bea7a929c6f1099b44',1,'leased',1,'0b4010a4bca14021a382ff9819b05e4b',1795908164174,'[{"input":0,"from":96,"to":184,"first":4,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('68369129de0840bea7a929c6f1099b44',2,'pending',0,NULL,NULL,'[{"input":0,"from":184,"to":276,"first":8,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('68369129de0840bea7a929c6f1099b44',3,'pending',0,NULL,NULL,'[{"input":0,"from":276,"to":372,"first":12,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('68369129de0840bea7a929c6f1099b44',4,'pending',0,NULL,NULL,'[{"input":0,"from":372,"to":468,"first":16,"documents":4}]',NULL,NULL,0,NULL);
INSERT INTO "task" VALUES('9f4c74a24871417da713c7248dcc57b0',0,'done',1,NULL,NULL,'[{"input":0,"from":0,"to":64,"first":0,"documents":4}]','{"pieces":[252],"digest":"a33c58e04b031c1687d6f2fb80fb8555382fa971c110740d1c730db5db904f21","usage":{"documents":4,"errors":0,"read":64,"written":252,"characters":44,"units":12,"compute_ms":80,"wall_ms":80},"samples":[]}',NULL,0,NULL);
INSERT INTO "task" VALUES('9f4c74a24871417da713c7248dcc57b0',1,'done',1,NULL,NULL,'[{"input":0,"from":64,"to":120,"first":4,"documents":4}]','{"pieces":[220],"digest":"c6a89c5db8f786dbccd4d748d69a9fa9f6283a7e1ec5d9f45f13db9f6721c126","usage":{"documents":4,"errors":0,"read":56,"written":220,"characters":44,"units":12,"compute_ms":27,"wall_ms":27},"samples":[]}',NULL,0,NULL);
INSERT INTO "task" VALUES('9f4c74a24871417da713c7248dcc57b0',2,'done',1,NULL,NULL,'[{"input":0,"from":120,"to":148,"first":8,"documents":2}]','{"pieces":[110],"digest":"3dd971dc07fda4e63093f26b076e96061908c1a0337093c5674de9003ab3de25","usage":{"documents":2,"errors":0,"read":28,"written":110,"characters":22,"units":6,"compute_ms":31,"wall_ms":31},"samples":[]}',NULL,0,NULL);
CREATE TABLE usage (
    job TEXT NOT NULL REFERENCES job,
    task INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    read INTEGER NOT NULL,
    written INTEGER NOT NULL,
    characters INTEGER NOT NULL,
    units INTEGER NOT NULL,
    compute_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    PRIMARY KEY (job, task)
) STRICT, WITHOUT ROWID;
INSERT INTO "usage" VALUES('54c2b0ab7ae041b79744dcee4219b82e',0,3,1,6025,519,22,6,431,441);
INSERT INTO "usage" VALUES('9f4c74a24871417da713c7248dcc57b0',0,4,0,64,252,44,12,80,80);
INSERT INTO "usage" VALUES('9f4c74a24871417da713c7248dcc57b0',1,4,0,56,220,44,12,27,27);
INSERT INTO "usage" VALUES('9f4c74a24871417da713c7248dcc57b0',2,2,0,28,110,22,6,31,31);
CREATE INDEX job_by_time ON job (submitted DESC, id DESC);
CREATE INDEX job_by_kind ON job (kind, submitted DESC, id DESC);
CREATE INDEX job_by_state ON job (state, submitted DESC, id DESC);
CREATE INDEX job_by_name ON job (kind, name, submitted DESC, id DESC);
CREATE INDEX task_by_state ON task (job, state, number);
CREATE INDEX task_leased ON task (owner, until) WHERE state = 'leased';
COMMIT;
