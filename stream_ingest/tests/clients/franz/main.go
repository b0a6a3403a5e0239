// franz-go, whose producers use the newer transactions (KIP-890) where a broker has them, against the broker:
// go run . HOST:PORT
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	broker = os.Args[1]
	ctx, _ = context.WithTimeout(context.Background(), 2*time.Minute)
	serial = 0
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(broker)}, options...)...)
	must(err)
	return made
}

func name(of string) string {
	serial++
	return fmt.Sprintf("%s-%d-%d", of, os.Getpid(), serial)
}

func newTopic(c *kgo.Client, partitions int32) string {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name("f"), partitions, 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, c)
	must(err)
	must(kerr.ErrorForCode(answer.Topics[0].ErrorCode))
	return topic.Topic
}

// epoch asks what an administrator is told of a transactional id.
func epoch(c *kgo.Client, id string) int16 {
	request := kmsg.NewPtrDescribeTransactionsRequest()
	request.TransactionalIDs = []string{id}
	answer, err := request.RequestWith(ctx, c)
	must(err)
	state := answer.TransactionStates[0]
	must(kerr.ErrorForCode(state.ErrorCode))
	return state.ProducerEpoch
}

// values reads so many committed records of a topic.
func values(topic string, count int) []string {
	c := client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer c.Close()
	var got []string
	for len(got) < count {
		fetches := c.PollFetches(ctx)
		must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func check(what string, ok bool, found any) {
	if !ok {
		panic(fmt.Sprintf("%s: %v", what, found))
	}
}

// Every end of a transaction is an epoch, and nothing is added before it is sent.
func endsAreEpochs() {
	id := name("x")
	c := client(kgo.TransactionalID(id))
	defer c.Close()
	topic := newTopic(c, 1)
	for i := 0; i < 6; i++ {
		must(c.BeginTransaction())
		must(c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}).FirstErr())
		end := kgo.TryCommit
		if i%3 == 2 {
			end = kgo.TryAbort
		}
		must(c.EndTransaction(ctx, end))
	}
	got := strings.Join(values(topic, 4), " ")
	check("committed", got == "0 1 3 4", got)
	last := epoch(c, id)
	check("the epoch after six ends", last >= 6, last)
}

// Consume, transform, produce, in two workers that share a group.
func exactlyOnce() {
	c := client()
	defer c.Close()
	source, target, group := newTopic(c, 4), newTopic(c, 1), name("g")
	for i := 0; i < 200; i++ {
		must(c.ProduceSync(ctx, &kgo.Record{Topic: source, Value: []byte(strconv.Itoa(i))}).FirstErr())
	}
	work := func(worker string, until int) {
		session, err := kgo.NewGroupTransactSession(
			kgo.SeedBrokers(broker), kgo.TransactionalID(worker), kgo.ConsumerGroup(group), kgo.ConsumeTopics(source),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchMaxBytes(2000), kgo.RequireStableFetchOffsets(),
		)
		must(err)
		defer session.Close()
		for done := 0; done < until; {
			fetches := session.PollRecords(ctx, 20)
			must(fetches.Err())
			must(session.Begin())
			fetches.EachRecord(func(r *kgo.Record) {
				session.Produce(ctx, &kgo.Record{Topic: target, Value: r.Value}, nil)
			})
			committed, err := session.End(ctx, kgo.TryCommit)
			must(err)
			if committed {
				done += fetches.NumRecords()
			}
		}
	}
	work(name("w"), 60)
	// Whoever comes after goes on where the first one ended.
	first := len(values(target, 60))
	work(name("w"), 200-first)
	got := values(target, 200)
	sort.Slice(got, func(i, j int) bool { a, _ := strconv.Atoi(got[i]); b, _ := strconv.Atoi(got[j]); return a < b })
	for i, value := range got {
		check("every record once", value == strconv.Itoa(i), got)
	}
}

func zombiesAreFenced() {
	id := name("x")
	zombie := client(kgo.TransactionalID(id))
	defer zombie.Close()
	topic := newTopic(zombie, 1)
	must(zombie.BeginTransaction())
	must(zombie.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("of the zombie")}).FirstErr())
	heir := client(kgo.TransactionalID(id))
	defer heir.Close()
	must(heir.BeginTransaction())
	must(heir.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("of the heir")}).FirstErr())
	err := zombie.EndTransaction(ctx, kgo.TryCommit)
	fenced := errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
	check("the zombie is fenced", fenced, err)
	must(heir.EndTransaction(ctx, kgo.TryCommit))
	got := values(topic, 1)
	check("committed", got[0] == "of the heir", got)
}

func main() {
	for _, test := range []struct {
		name string
		run  func()
	}{
		{"every end is an epoch", endsAreEpochs},
		{"exactly once", exactlyOnce},
		{"zombies are fenced", zombiesAreFenced},
	} {
		test.run()
		fmt.Println("ok", test.name)
	}
}
