// kafkajs against the broker: node kafkajs.mjs HOST:PORT
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";

// The package lies in the folder that the tests installed it into.
const { Kafka, CompressionTypes, logLevel } = createRequire(process.env.CLIENT_FOLDER + "/")("kafkajs");

const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR });
const admin = kafka.admin();

async function newTopic(numPartitions = 1) {
  const topic = `j-${randomUUID()}`;
  await admin.createTopics({ topics: [{ topic, numPartitions }] });
  // A cluster's brokers hear of it a little later than its maker.
  await until("the topic is there", async () => (await admin.listTopics()).includes(topic));
  return topic;
}

async function until(what, condition) {
  const end = Date.now() + 60_000;
  while (!(await condition())) assert.ok(Date.now() < end, `${what}: not within a minute`);
}

async function produce(topic, messages, options = {}) {
  const producer = kafka.producer(options.producer);
  await producer.connect();
  const sent = await producer.send({ topic, messages, acks: -1, compression: options.compression });
  await producer.disconnect();
  return sent;
}

/** Joins a group and collects messages until there are so many. */
async function take(topic, count, groupId = `g-${randomUUID()}`) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const got = [];
  await new Promise((done, failed) => {
    consumer.on(consumer.events.CRASH, (event) => failed(event.payload.error));
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        got.push({ partition, message });
        if (got.length === count) done();
      },
    });
  });
  await consumer.disconnect();
  return got;
}

const tests = {
  async what_is_produced_is_consumed() {
    const topic = await newTopic(2);
    const messages = Array.from({ length: 50 }, (_, i) => ({
      partition: i % 2,
      key: `k${i}`,
      value: `v${i}`,
      headers: { a: ["1", "2"], b: "x" },
    }));
    await produce(topic, messages);
    const got = await take(topic, 50);
    for (const { partition, message } of got) {
      const i = Number(message.value.toString().slice(1));
      assert.equal(partition, i % 2);
      assert.equal(message.key.toString(), `k${i}`);
      assert.equal(message.offset, String(Math.floor(i / 2)));
      assert.deepEqual(message.headers.a.map(String), ["1", "2"]);
    }
  },
  async gzip() {
    const topic = await newTopic();
    await produce(topic, [{ value: "again and again ".repeat(100) }], { compression: CompressionTypes.GZIP });
    const [{ message }] = await take(topic, 1);
    assert.equal(message.value.toString(), "again and again ".repeat(100));
  },
  async an_idempotent_producer() {
    const topic = await newTopic();
    const sent = await produce(topic, [{ value: "1" }, { value: "2" }], { producer: { idempotent: true } });
    assert.equal(sent[0].baseOffset, "0");
    assert.equal((await take(topic, 2)).length, 2);
  },
  async a_group_goes_on_where_it_committed() {
    const topic = await newTopic();
    const groupId = `g-${randomUUID()}`;
    await produce(topic, [{ value: "1" }, { value: "2" }]);
    await take(topic, 2, groupId);
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: "1" }] });
    const [{ message }] = await take(topic, 1, groupId);
    assert.equal(message.offset, "1");
    const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] });
    assert.equal(partitions[0].offset, "2");
    await admin.deleteGroups([groupId]);
  },
  async records_and_offsets_of_a_transaction_count_together() {
    const [source, target] = [await newTopic(), await newTopic()];
    const groupId = `g-${randomUUID()}`;
    await produce(source, [{ value: "1" }, { value: "2" }]);
    const producer = kafka.producer({ transactionalId: randomUUID(), maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    for (const [value, offset, end] of [["no", "2", "abort"], ["yes", "1", "commit"], ["not", "2", "abort"]]) {
      const transaction = await producer.transaction();
      await transaction.send({ topic: target, messages: [{ value }] });
      const topics = [{ topic: source, partitions: [{ partition: 0, offset }] }];
      await transaction.sendOffsets({ consumerGroupId: groupId, topics });
      await transaction[end]();
    }
    const last = await producer.transaction();
    await last.send({ topic: target, messages: [{ value: "last" }] });
    await last.commit();
    await producer.disconnect();
    // kafkajs reads committed records unless told otherwise.
    const got = await take(target, 2);
    assert.deepEqual(got.map(({ message }) => message.value.toString()), ["yes", "last"]);
    const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [source] });
    assert.equal(partitions[0].offset, "1");
  },
  async the_older_of_two_producers_is_fenced() {
    const topic = await newTopic();
    const options = { transactionalId: randomUUID(), maxInFlightRequests: 1, idempotent: true, retry: { retries: 1 } };
    const [zombie, heir] = [kafka.producer(options), kafka.producer(options)];
    await zombie.connect();
    const left = await zombie.transaction();
    await left.send({ topic, messages: [{ value: "of the zombie" }] });
    await heir.connect();
    const transaction = await heir.transaction();
    await assert.rejects(left.commit(), /epoch|fenced/i);
    await transaction.send({ topic, messages: [{ value: "of the heir" }] });
    await transaction.commit();
    const [{ message }] = await take(topic, 1);
    assert.equal(message.value.toString(), "of the heir");
    await zombie.disconnect();
    await heir.disconnect();
  },
  async administration() {
    const topic = await newTopic();
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    await until("three partitions", async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics[0].partitions.length === 3;
    });
    // Apache Kafka names partitions before they have a leader.
    await until("each has a leader", () =>
      admin.fetchTopicOffsets(topic).then(
        () => true,
        (error) => {
          if (!error.retriable) throw error;
          return false;
        },
      ),
    );
    const { brokers, controller } = await admin.describeCluster();
    assert.deepEqual([brokers.length, controller], [1, 1]);
    await produce(topic, [{ value: "1", partition: 0 }, { value: "2", partition: 0 }]);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "1" }] });
    const first = (await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 0);
    assert.deepEqual([first.low, first.high].map(Number), [1, 2]);
    await admin.deleteTopics({ topics: [topic] });
    await until("it is gone", async () => !(await admin.listTopics()).includes(topic));
  },
};

await admin.connect();
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
  } catch (error) {
    console.error(`FAILED ${name}`, error);
    process.exit(1);
  }
  console.log(`ok ${name}`);
}
await admin.disconnect();
process.exit(0);
