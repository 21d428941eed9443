package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
)

// target is the repeated request.
type target struct {
	host, method  string
	path, headers template
	body          template
	players       *population
}

// targetFlags declares the flags of a target.
type targetFlags struct {
	url, method, body, players *string
	headers                    texts
}

func (f *targetFlags) declare(set *flag.FlagSet, prefix string) {
	f.url = set.String(prefix+"url", "", "http:// address")
	f.method = set.String(prefix+"method", "POST", "")
	f.body = set.String(prefix+"body", "", "")
	f.players = set.String(prefix+"players", "", "file with a line 'name token' for each player")
	set.Var(&f.headers, prefix+"header", "'Name: value', repeatable")
}

func (f *targetFlags) target() (*target, error) {
	scheme, rest, _ := strings.Cut(*f.url, "://")
	if scheme != "http" {
		return nil, fmt.Errorf("%q is no http:// address", *f.url)
	}
	host, path, _ := strings.Cut(rest, "/")
	players, err := readPopulation(*f.players)
	if err != nil {
		return nil, err
	}
	lines := ""
	for _, header := range f.headers {
		lines += header + "\r\n"
	}
	return &target{host, *f.method, parse("/" + path), parse(lines), parse(*f.body), players}, nil
}

// client is one keep-alive connection: far cheaper than net/http, and sufficient for the measured servers.
type client struct {
	target    *target
	wire      net.Conn
	reader    *bufio.Reader
	out, body []byte
	answer    []byte // the body of the last answer, where keep is set
	keep      bool
}

// do sends request number seq, and returns the status of its answer.
func (c *client) do(seq int64) (int, error) {
	c.render(seq)
	if c.wire == nil {
		wire, err := net.DialTimeout("tcp", c.target.host, dialTimeout)
		if err != nil {
			return 0, err
		}
		c.wire, c.reader = wire, bufio.NewReaderSize(wire, 8192)
	}
	status, err := c.exchange()
	if err != nil {
		c.drop()
	}
	return status, err
}

func (c *client) exchange() (int, error) {
	if err := c.wire.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	if _, err := c.wire.Write(c.out); err != nil {
		return 0, err
	}
	return c.read()
}

func (c *client) drop() {
	if c.wire != nil {
		c.wire.Close()
		c.wire = nil
	}
}

func (c *client) render(seq int64) {
	t := c.target
	c.body = t.body.render(c.body[:0], t.players, seq)
	out := append(c.out[:0], t.method...)
	out = append(out, ' ')
	out = t.path.render(out, t.players, seq)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, t.host...)
	out = append(out, "\r\n"...)
	out = t.headers.render(out, t.players, seq)
	if t.method != "GET" {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, int64(len(c.body)), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	c.out = append(out, c.body...)
}

// read reads one answer, whose body has a stated length or comes in chunks.
func (c *client) read() (int, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, errors.New("a short status line")
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, err
	}
	length, chunked, closing := 0, false, false
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return 0, err
		}
		name, text, found := bytes.Cut(line, []byte(":"))
		if !found {
			break
		}
		text = bytes.TrimSpace(text)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(text)); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(text, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			closing = bytes.EqualFold(text, []byte("close"))
		}
	}
	c.answer = c.answer[:0]
	if chunked {
		err = c.takeChunks()
	} else {
		err = c.take(length)
	}
	if err != nil {
		return 0, err
	}
	if closing {
		c.drop()
	}
	return status, nil
}

// take reads the next bytes of a body.
func (c *client) take(length int) error {
	if !c.keep {
		_, err := c.reader.Discard(length)
		return err
	}
	start := len(c.answer)
	if cap(c.answer) < start+length {
		c.answer = append(make([]byte, 0, start+length), c.answer...)
	}
	c.answer = c.answer[:start+length]
	_, err := io.ReadFull(c.reader, c.answer[start:])
	return err
}

// takeChunks reads a chunked body; one with trailers is an error.
func (c *client) takeChunks() error {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if err := c.take(int(size)); err != nil {
			return err
		}
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return errors.New("a chunk of another length, or trailers")
		}
		if size == 0 {
			return nil
		}
	}
}

// sleepUntil is finer than time.Sleep, whose last step is rounded up to a millisecond.
func sleepUntil(moment time.Time) {
	if d := time.Until(moment); d > 3*time.Millisecond {
		time.Sleep(d - 2*time.Millisecond)
	}
	for d := time.Until(moment); d > 0; d = time.Until(moment) {
		left := syscall.NsecToTimespec(d.Nanoseconds())
		syscall.Nanosleep(&left, nil) // an interruption is no harm: the loop looks again
	}
}
