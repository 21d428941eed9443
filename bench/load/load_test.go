package main

import (
	"bufio"
	"strings"
	"testing"
	"time"
)

func TestQuantilesAreWithinAPercent(t *testing.T) {
	h := &histogram{}
	for i := 1; i <= 100_000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for name, want := range map[string]float64{"p50": 50, "p90": 90, "p99": 99, "p999": 99.9, "max": 100} {
		if got := h.quantiles()[name]; got < want*0.99 || got > want*1.01 {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
}

func TestEveryBucketHoldsItsValue(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 1_000, 65_537, 1 << 40} {
		if i := bucket(v); bucket(value(i)) != i {
			t.Errorf("%d falls into %d, whose value %d does not", v, i, value(i))
		}
	}
}

func TestTemplates(t *testing.T) {
	p := &population{names: []string{"ann", "bob"}, tokens: []string{"s", "t"}, run: "run"}
	got := string(parse(`{"who": "{player}", "n": {seq}} {token} {id}`).render(nil, p, 3))
	if got != `{"who": "bob", "n": 3} t run-3` {
		t.Error(got)
	}
}

func TestLeaderScore(t *testing.T) {
	for text, want := range map[string]int64{
		`{"top":[{"score":42},{"score":7}]}`: 42, `{"score": 0}`: 0, `{"top":[]}`: -1, `{"score":null}`: -1,
	} {
		got, found := leaderScore([]byte(text))
		if !found {
			got = -1
		}
		if got != want {
			t.Errorf("%s gives %d", text, got)
		}
	}
}

// A message that shows the leader of publication 12 shows 10 and 11 as well, each as late as it is.
func TestANewerStateShowsTheOlderOnes(t *testing.T) {
	start := time.Now()
	o := newObserver(1000, 10, 2)
	o.plan = &schedule{rate: 100, start: start, begin: start, end: start.Add(time.Second)}
	at := start.Add(50 * time.Millisecond)
	o.message(0, []byte(`{"score":1012}`), at)
	if o.each.n != 3 || o.all.n != 0 {
		t.Error(o.each.n, o.all.n)
	}
	if o.each.max != 50*time.Millisecond { // publication 10 was due at the start
		t.Error(o.each.max)
	}
	o.message(1, []byte(`{"score":1010}`), at)
	o.message(1, []byte(`{"score":1010}`), at)
	if o.each.n != 4 || o.all.n != 1 {
		t.Error(o.each.n, o.all.n)
	}
}

func TestAFrameInPieces(t *testing.T) {
	var got []string
	f := &fleet{sockets: make([]socket, 1), message: func(_ int, p []byte, _ time.Time) { got = append(got, string(p)) }}
	long := make([]byte, 200)
	stream := append([]byte{0x81, 2, 'h', 'i', 0x81, 126, 0, 200}, long...)
	for _, b := range stream {
		f.take(0, []byte{b}, time.Now())
	}
	if len(got) != 2 || got[0] != "hi" || len(got[1]) != 200 {
		t.Error(got)
	}
}

func TestAnAnswerInChunks(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	next := "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
	for _, keep := range []bool{true, false} {
		stream := head + "5\r\nhello\r\nC\r\n to everyone\r\n0\r\n\r\n" + next
		c := &client{keep: keep, reader: bufio.NewReader(strings.NewReader(stream))}
		status, err := c.read()
		if err != nil || status != 200 || keep && string(c.answer) != "hello to everyone" {
			t.Error(status, err, string(c.answer))
		}
		if status, err = c.read(); err != nil || status != 404 || keep && string(c.answer) != "no" {
			t.Error(status, err, string(c.answer))
		}
	}
	c := &client{reader: bufio.NewReader(strings.NewReader(head + "5\r\nhello, everybody\r\n0\r\n\r\n"))}
	if _, err := c.read(); err == nil {
		t.Error("a chunk longer than it says was read")
	}
}
