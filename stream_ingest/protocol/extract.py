#!/usr/bin/env python3
"""Takes the facts of Kafka's message definitions: names, types, version ranges, tags, nullability, defaults.

The definitions are the JSON files under `common/message/` in the jar of `org.apache.kafka:kafka-clients`
(Apache-2.0); their documentation text is left behind. messages.json was made from 4.1.1:

    mvn dependency:copy -Dartifact=org.apache.kafka:kafka-clients:4.1.1 -DoutputDirectory=.
    python3 extract.py kafka-clients-4.1.1.jar > messages.json
"""

import json
import re
import sys
import zipfile

# What the broker answers, and the two formats that consumers put inside of group messages.
APIS = """
Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup
SyncGroup DescribeGroups ListGroups SaslHandshake ApiVersions CreateTopics DeleteTopics DeleteRecords
InitProducerId OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeAcls
CreateAcls DeleteAcls DescribeConfigs AlterConfigs DescribeLogDirs SaslAuthenticate CreatePartitions
DeleteGroups IncrementalAlterConfigs OffsetDelete DescribeCluster DescribeProducers DescribeTransactions
ListTransactions
""".split()
DATA = ["ConsumerProtocolSubscription", "ConsumerProtocolAssignment"]


def field(definition):
    kept = {"name": definition["name"], "type": definition["type"], "versions": definition["versions"]}
    for theirs, ours in [
        ("nullableVersions", "nullable"),
        ("taggedVersions", "tagged"),
        ("flexibleVersions", "flexible"),
        ("tag", "tag"),
        ("default", "default"),
    ]:
        if theirs in definition:
            kept[ours] = definition[theirs]
    if "fields" in definition:
        kept["fields"] = [field(inner) for inner in definition["fields"]]
    return kept


def message(definition):
    kept = {"name": definition["name"]}
    if "apiKey" in definition:
        kept["key"] = definition["apiKey"]
    kept["versions"] = definition["validVersions"]
    kept["flexible"] = definition["flexibleVersions"]
    kept["fields"] = [field(inner) for inner in definition["fields"]]
    if "commonStructs" in definition:
        kept["structs"] = [
            {"name": struct["name"], "fields": [field(inner) for inner in struct["fields"]]}
            for struct in definition["commonStructs"]
        ]
    return kept


def lines(value, depth=0):
    """JSON with one field a line, so that a change of the protocol reads as one."""
    indent = "  " * depth
    if isinstance(value, dict) and any(isinstance(inner, list) for inner in value.values()):
        plain = {key: inner for key, inner in value.items() if not isinstance(inner, list)}
        out = indent + json.dumps(plain)[:-1]
        for key, inner in value.items():
            if isinstance(inner, list):
                out += f', "{key}": [\n' + ",\n".join(lines(one, depth + 1) for one in inner) + "]"
        return out + "}"
    return indent + json.dumps(value)


def main():
    jar = zipfile.ZipFile(sys.argv[1])
    names = [name + kind for name in APIS for kind in ("Request", "Response")] + DATA
    print("[")
    out = []
    for name in names:
        text = jar.read(f"common/message/{name}.json").decode()
        text = re.sub(r"(?m)(^|\s)//.*$", "", text)
        out.append(lines(message(json.loads(text))))
    print(",\n".join(out))
    print("]")


main()
