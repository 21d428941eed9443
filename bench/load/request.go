package main

import (
	"flag"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pauseAfterError = 5 * time.Millisecond
	patience        = 15 * time.Second // after its end, an open loop sends what is still due for so long
	threads         = 4                // at once, on however few cores: one sleeps until the next turn, one reads sockets
)

// outcome is what one connection, or all of them, did.
type outcome struct {
	latency, late histogram // of accepted requests in the window; late: how long after its turn one was sent
	accepted      int64
	took, refusal histogram // of requests answered in the window, from the send: the accepted ones and the refused
	errors        int
	statuses      map[string]int // of all refused requests, the warm-up's too
	lastError     error
}

func (o *outcome) merge(other *outcome) {
	o.latency.merge(&other.latency)
	o.late.merge(&other.late)
	o.took.merge(&other.took)
	o.refusal.merge(&other.refusal)
	o.accepted += other.accepted
	o.errors += other.errors
	if other.lastError != nil {
		o.lastError = other.lastError
	}
	for status, count := range other.statuses {
		o.statuses[status] += count
	}
}

// schedule gives out the turns: at once in a closed loop, at their time in an open one.
type schedule struct {
	rate              float64
	start, begin, end time.Time
	turns             chan time.Time
}

func newSchedule(rate float64, warmup, measured time.Duration) *schedule {
	start := time.Now()
	s := &schedule{rate: rate, start: start, begin: start.Add(warmup), end: start.Add(warmup + measured)}
	if rate > 0 {
		s.turns = make(chan time.Time, int(rate*(warmup+measured).Seconds())+1) // sending never blocks
		runtime.GOMAXPROCS(threads)
		go s.dispatch()
	}
	return s
}

func (s *schedule) dispatch() {
	runtime.LockOSThread()
	defer close(s.turns)
	for n := 0; ; n++ {
		at := s.start.Add(time.Duration(float64(n) / s.rate * 1e9))
		if !at.Before(s.end) {
			return
		}
		sleepUntil(at)
		s.turns <- at
	}
}

// next waits for a turn and returns when it was due; false at the end, and when the server is far behind.
func (s *schedule) next() (time.Time, bool) {
	if s.rate > 0 {
		due, more := <-s.turns
		return due, more && time.Since(s.end) < patience
	}
	now := time.Now()
	return now, now.Before(s.end)
}

// unsent is the number of turns left after all connections have stopped; each failed connection loses one.
func (s *schedule) unsent() int { return len(s.turns) }

// counts: in an open loop the requests due in the window, in a closed one those answered in it.
func (s *schedule) counts(due, answered time.Time) bool {
	return !due.Before(s.begin) && (s.rate > 0 || answered.Before(s.end))
}

func (s *schedule) measures(at time.Time) bool { return !at.Before(s.begin) && at.Before(s.end) }

func (s *schedule) drive(c *client, seq *atomic.Int64) *outcome {
	o := &outcome{statuses: map[string]int{}}
	for {
		due, more := s.next()
		if !more {
			c.drop()
			return o
		}
		sent := time.Now()
		status, err := c.do(seq.Add(1) - 1)
		answered := time.Now()
		if err != nil {
			o.errors++
			o.lastError = err
			time.Sleep(pauseAfterError)
			continue
		}
		took := &o.took
		if status < 200 || status > 299 {
			o.statuses[strconv.Itoa(status)]++
			took = &o.refusal
		} else if s.counts(due, answered) {
			o.accepted++
			o.latency.add(answered.Sub(due))
			o.late.add(sent.Sub(due))
		}
		if s.measures(answered) {
			took.add(answered.Sub(sent))
		}
	}
}

// request runs the mode of that name.
func request(arguments []string) (result, error) {
	set := flag.NewFlagSet("request", flag.ExitOnError)
	var flags targetFlags
	flags.declare(set, "")
	accounted := groups{}
	set.Var(accounted, "group", "name=pid,pid: process trees to account for, repeatable")
	connections := set.Int("connections", 64, "")
	measured := set.Duration("seconds", 5*time.Second, "measured time")
	warmup := set.Duration("warmup", time.Second, "time before that")
	rate := set.Float64("rate", 0, "requests a second, open loop; 0 is a closed loop")
	first := set.Int64("first", 0, "number of the first request")
	set.Parse(arguments)
	aim, err := flags.target()
	if err != nil {
		return nil, err
	}

	var seq atomic.Int64
	seq.Store(*first)
	plan := newSchedule(*rate, *warmup, *measured)
	var wait sync.WaitGroup
	outcomes := make([]*outcome, *connections)
	for i := range outcomes {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			outcomes[i] = plan.drive(&client{target: aim}, &seq)
		}(i)
	}
	time.Sleep(time.Until(plan.begin))
	before := accounted.take()
	time.Sleep(time.Until(plan.end))
	after := accounted.take()
	wait.Wait()

	all := &outcome{statuses: map[string]int{}}
	for _, one := range outcomes {
		all.merge(one)
	}
	r := result{
		"connections": *connections, "rate": *rate, "next": seq.Load(),
		"accepted": all.accepted, "errors": all.errors, "refused": all.statuses,
		"unsent":       plan.unsent(),
		"per_second":   rounded(float64(all.accepted)/measured.Seconds(), 1),
		"latency_ms":   all.latency.quantiles(),
		"sent_late_ms": all.late.quantiles(),
		"took":         all.took.n, "took_ms": all.took.quantiles(),
		"turned_away": all.refusal.n, "turned_away_ms": all.refusal.quantiles(),
	}
	if all.lastError != nil {
		r["last_error"] = all.lastError.Error()
	}
	report(r, before, after)
	return r, nil
}
