package main

import (
	"bytes"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The leader's score identifies a publication: number n lifts the leader to base+n. So a client that sees a leader of
// base+n has seen all publications up to n, including states that the server skipped.

var scoreKey = []byte(`"score":`)

// leaderScore is the first score in a message.
func leaderScore(message []byte) (int64, bool) {
	at := bytes.Index(message, scoreKey)
	if at < 0 {
		return 0, false
	}
	score, digits := int64(0), 0
	for _, c := range message[at+len(scoreKey):] {
		if c == ' ' && digits == 0 {
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		score = score*10 + int64(c-'0')
		digits++
	}
	return score, digits > 0
}

// observer records what each subscriber has seen, and how long after its schedule.
type observer struct {
	mutex       sync.Mutex
	plan        *schedule
	base, first int64 // the leader's score is base plus the publication's number, from `first` on
	seen        []int64
	shown       []int // by publication, from the first: how many have seen it
	each, all   histogram
	messages    int64
	bytes       int64
	greeted     int64 // subscribers that have been sent anything
}

func newObserver(base, first int64, subscribers int) *observer {
	o := &observer{base: base, first: first, seen: make([]int64, subscribers)}
	for i := range o.seen {
		o.seen[i] = -1
	}
	return o
}

func (o *observer) due(publication int64) time.Time {
	return o.plan.start.Add(time.Duration(float64(publication-o.first) / o.plan.rate * 1e9))
}

func (o *observer) message(subscriber int, payload []byte, now time.Time) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	score, found := leaderScore(payload)
	if o.seen[subscriber] < 0 {
		o.seen[subscriber] = o.first - 1
		o.greeted++
	}
	if o.plan == nil {
		return
	}
	if !now.Before(o.plan.begin) && now.Before(o.plan.end) {
		o.messages++
		o.bytes += int64(len(payload))
	}
	if !found || o.plan.rate == 0 {
		return
	}
	for n := o.seen[subscriber] + 1; n <= score-o.base; n++ {
		o.saw(n, now)
		o.seen[subscriber] = n
	}
}

func (o *observer) saw(publication int64, now time.Time) {
	due := o.due(publication)
	if due.Before(o.plan.begin) || !due.Before(o.plan.end) {
		return
	}
	late := now.Sub(due)
	o.each.add(late)
	place := int(publication - o.first)
	for len(o.shown) <= place {
		o.shown = append(o.shown, 0)
	}
	o.shown[place]++
	if o.shown[place] == len(o.seen) {
		o.all.add(late)
	}
}

func (o *observer) wait(seconds time.Duration, what string, condition func() bool) error {
	for end := time.Now().Add(seconds); ; time.Sleep(20 * time.Millisecond) {
		o.mutex.Lock()
		met := condition()
		o.mutex.Unlock()
		if met {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %s", seconds, what)
		}
	}
}

// publisher writes at a fixed rate over a few connections, also if answers are late.
type publisher struct {
	aim  *target
	next atomic.Int64
	*outcome
}

func (p *publisher) run(plan *schedule, connections int) {
	var wait sync.WaitGroup
	outcomes := make([]*outcome, connections)
	for i := range outcomes {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			outcomes[i] = plan.drive(&client{target: p.aim}, &p.next)
		}(i)
	}
	wait.Wait()
	for _, one := range outcomes {
		p.merge(one)
	}
}

// poll requests the board repeatedly, each connection at its own time of the period.
func poll(aim *target, pollers int, period time.Duration, o *observer, stop *atomic.Bool) *sync.WaitGroup {
	var wait sync.WaitGroup
	start := time.Now()
	for i := 0; i < pollers; i++ {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			c := &client{target: aim, keep: true}
			defer c.drop()
			at := start.Add(period * time.Duration(i) / time.Duration(pollers))
			for ; !stop.Load(); at = at.Add(period) {
				time.Sleep(time.Until(at))
				if status, err := c.do(0); err != nil || status != 200 {
					fail(fmt.Errorf("a poll: %d %w", status, err))
				}
				o.message(i, c.answer, time.Now())
			}
		}(i)
	}
	return &wait
}

type watchFlags struct {
	set                                 *flag.FlagSet
	subject, publish                    targetFlags
	accounted                           groups
	subscribers, stalled, connections   *int
	socket                              *string
	settle, measured, warmup, drain, by *time.Duration
	rate                                *float64
	base, first                         *int64
}

func declareWatch() *watchFlags {
	set := flag.NewFlagSet("watch", flag.ExitOnError)
	f := &watchFlags{set: set, accounted: groups{}}
	f.publish.declare(set, "publish-")
	f.subject.declare(set, "poll-")
	set.Var(f.accounted, "group", "name=pid,pid: process trees to account for, repeatable")
	f.socket = set.String("socket", "", "ws:// address of the subscribers; without it they poll")
	f.subscribers = set.Int("subscribers", 1000, "")
	f.stalled = set.Int("stalled", 0, "subscribers beside them that never read")
	f.by = set.Duration("poll-period", 100*time.Millisecond, "")
	f.connections = set.Int("publish-connections", 64, "")
	f.rate = set.Float64("rate", 10, "publications a second; 0 publishes nothing")
	f.base = set.Int64("base", 0, "publication number n lifts the leader to base+n")
	f.first = set.Int64("first", 0, "number of the first publication")
	f.settle = set.Duration("settle", time.Second, "wait after connecting")
	f.measured = set.Duration("seconds", 5*time.Second, "measured time")
	f.warmup = set.Duration("warmup", time.Second, "time before that")
	f.drain = set.Duration("drain", 5*time.Second, "longest wait for late deliveries")
	return f
}

// watch runs the mode of that name.
func watch(arguments []string) (result, error) {
	f := declareWatch()
	f.set.Parse(arguments)
	o := newObserver(*f.base, *f.first, *f.subscribers)
	alone := f.accounted.take()
	connecting := time.Now()
	end, err := f.subscribe(o)
	if err != nil {
		return nil, err
	}
	greeted := func() bool { return o.greeted == int64(*f.subscribers) }
	if err := o.wait(30*time.Second, "a first message for every subscriber", greeted); err != nil {
		return nil, err
	}
	connected := time.Since(connecting).Seconds()
	time.Sleep(*f.settle)

	publishing := &publisher{outcome: &outcome{statuses: map[string]int{}}}
	publishing.next.Store(*f.first)
	full := f.accounted.take()
	o.mutex.Lock()
	plan := newSchedule(*f.rate, *f.warmup, *f.measured)
	o.plan = plan
	o.mutex.Unlock()
	published := make(chan error, 1)
	go func() { published <- f.publishAll(publishing, plan) }()
	time.Sleep(time.Until(plan.begin))
	before := f.accounted.take()
	time.Sleep(time.Until(plan.end))
	after := f.accounted.take()
	if err := <-published; err != nil {
		return nil, err
	}
	expected := publishing.accepted * int64(*f.subscribers)
	// The result reports missing messages: a server that cannot keep up is a finding, not a fault of the run.
	_ = o.wait(*f.drain, "all deliveries", func() bool { return o.each.n >= expected })
	closed, cut := end()

	r := result{
		"subscribers": *f.subscribers, "stalled": *f.stalled, "stalled_cut_off": cut, "closed": closed,
		"rate": *f.rate, "next": publishing.next.Load(),
		"accepted": publishing.accepted, "unsent": plan.unsent(), "errors": publishing.errors, "refused": publishing.statuses,
		"answer_ms": publishing.latency.quantiles(), "sent_late_ms": publishing.late.quantiles(),
		"messages": o.messages, "message_bytes": o.bytes,
		"deliveries": o.each.n, "missing": expected - o.each.n,
		"latency_ms": o.each.quantiles(), "all_ms": o.all.quantiles(), "shown_to_all": o.all.n,
		"connect_seconds": rounded(connected, 2), "rss_bytes_alone": alone.rss, "rss_bytes_connected": full.rss,
	}
	if publishing.lastError != nil {
		r["last_error"] = publishing.lastError.Error()
	}
	report(r, before, after)
	return r, nil
}

// subscribe connects all. The returned function ends them: how many were closed, and how many stalled ones cut off.
func (f *watchFlags) subscribe(o *observer) (func() (int64, int), error) {
	if *f.socket != "" {
		fleet, err := connect(*f.socket, *f.subscribers, *f.stalled, o.message)
		if err != nil {
			return nil, err
		}
		return func() (int64, int) { closed := fleet.closed.Load(); return closed, fleet.close() }, nil
	}
	aim, err := f.subject.target()
	if err != nil {
		return nil, err
	}
	aim.method = "GET"
	var stop atomic.Bool
	polling := poll(aim, *f.subscribers, *f.by, o, &stop)
	return func() (int64, int) { stop.Store(true); polling.Wait(); return 0, 0 }, nil
}

func (f *watchFlags) publishAll(p *publisher, plan *schedule) error {
	if plan.rate == 0 {
		time.Sleep(time.Until(plan.end))
		return nil
	}
	aim, err := f.publish.target()
	if err != nil {
		return err
	}
	p.aim = aim
	p.run(plan, *f.connections)
	return nil
}
