package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	dialers         = 16
	smallBuffer     = 4096 // bytes that the kernel keeps for a reader that stalls
	opText          = 1
	opClose         = 8
	opPing          = 9
	opPong          = 10
	handshakeSecond = 20
)

// socket is one subscriber; rest is the beginning of a frame whose end has not come yet.
type socket struct {
	fd     int
	rest   []byte
	closed bool
}

// fleet is many WebSocket subscribers, read by one thread.
type fleet struct {
	epoll   int
	sockets []socket
	byFd    map[int32]int
	message func(subscriber int, payload []byte, now time.Time)
	stalled []int // file descriptors that are never read

	closed atomic.Int64
	stop   atomic.Bool
	done   chan struct{}
}

// connect opens `readers` subscribers, and `stalled` more that never read, and begins to read.
func connect(address string, readers, stalled int, message func(int, []byte, time.Time)) (*fleet, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	if scheme != "ws" {
		return nil, fmt.Errorf("%q is no ws:// address", address)
	}
	host, path, _ := strings.Cut(rest, "/")
	f := &fleet{sockets: make([]socket, readers), byFd: map[int32]int{}, message: message, done: make(chan struct{})}
	var err error
	if f.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	opened := make([]socket, readers+stalled)
	if err := openAll(host, "/"+path, opened, readers); err != nil {
		return nil, err
	}
	copy(f.sockets, opened)
	for _, one := range opened[readers:] {
		f.stalled = append(f.stalled, one.fd)
	}
	for i := range f.sockets {
		if err := f.listen(i); err != nil {
			return nil, err
		}
	}
	go f.read()
	return f, nil
}

// openAll opens a socket in each place; those from `readers` on get a small buffer.
func openAll(host, path string, opened []socket, readers int) error {
	var next atomic.Int64
	failures := make(chan error, dialers)
	for d := 0; d < dialers; d++ {
		go func() {
			for i := int(next.Add(1) - 1); i < len(opened); i = int(next.Add(1) - 1) {
				var err error
				if opened[i], err = open(host, path, i >= readers); err != nil {
					failures <- fmt.Errorf("subscriber %d: %w", i, err)
					return
				}
			}
			failures <- nil
		}()
	}
	var failed error
	for d := 0; d < dialers; d++ {
		failed = firstError(failed, <-failures)
	}
	return failed
}

func open(host, path string, small bool) (socket, error) {
	address, err := net.ResolveTCPAddr("tcp4", host)
	if err != nil {
		return socket{}, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return socket{}, err
	}
	one, err := handshake(fd, address, host, path, small)
	if err != nil {
		syscall.Close(fd)
	}
	return one, err
}

func handshake(fd int, address *net.TCPAddr, host, path string, small bool) (socket, error) {
	patience := syscall.Timeval{Sec: handshakeSecond}
	errs := []error{
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
	}
	if small {
		errs = append(errs, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer))
	}
	place := &syscall.SockaddrInet4{Port: address.Port}
	copy(place.Addr[:], address.IP.To4())
	if err := firstError(append(errs, syscall.Connect(fd, place))...); err != nil {
		return socket{}, err
	}
	asking := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	if _, err := syscall.Write(fd, []byte(asking)); err != nil {
		return socket{}, err
	}
	var answer []byte
	chunk := make([]byte, 2048)
	for {
		n, err := syscall.Read(fd, chunk)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return socket{}, fmt.Errorf("no handshake: %d bytes, %w", n, err)
		}
		answer = append(answer, chunk[:n]...)
		head, rest, whole := bytes.Cut(answer, []byte("\r\n\r\n"))
		if whole && !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
			return socket{}, fmt.Errorf("refused: %.80s", head)
		}
		if whole {
			return socket{fd: fd, rest: clone(rest)}, nil
		}
	}
}

func (f *fleet) listen(i int) error {
	fd := f.sockets[i].fd
	f.byFd[int32(fd)] = i
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	return firstError(
		syscall.SetNonblock(fd, true), syscall.EpollCtl(f.epoll, syscall.EPOLL_CTL_ADD, fd, &event))
}

func (f *fleet) read() {
	runtime.LockOSThread()
	defer close(f.done)
	for i := range f.sockets { // what came with the handshake
		f.take(i, nil, time.Now())
	}
	events := make([]syscall.EpollEvent, 1024)
	chunk := make([]byte, 1<<17)
	for !f.stop.Load() {
		n, err := syscall.EpollWait(f.epoll, events, 100)
		if err != nil && err != syscall.EINTR {
			fail(err)
		}
		if n < 0 {
			continue
		}
		for _, event := range events[:n] {
			i := f.byFd[event.Fd]
			size, err := syscall.Read(f.sockets[i].fd, chunk)
			if err == syscall.EAGAIN || err == syscall.EINTR {
				continue
			}
			if err != nil || size == 0 {
				f.end(i)
				continue
			}
			f.take(i, chunk[:size], time.Now())
		}
	}
}

func (f *fleet) end(i int) {
	if one := &f.sockets[i]; !one.closed {
		one.closed = true
		f.closed.Add(1)
		syscall.EpollCtl(f.epoll, syscall.EPOLL_CTL_DEL, one.fd, nil) // closing takes it out as well
	}
}

// take parses what has come. Servers' frames carry no mask. Source: RFC 6455, section 5.2.
func (f *fleet) take(i int, chunk []byte, now time.Time) {
	one := &f.sockets[i]
	data := chunk
	if len(one.rest) > 0 {
		data = append(one.rest, chunk...)
		one.rest = nil
	}
	for len(data) >= 2 {
		length, head := uint64(data[1]&127), 2
		if length == 126 && len(data) >= 4 {
			length, head = uint64(binary.BigEndian.Uint16(data[2:])), 4
		} else if length == 127 && len(data) >= 10 {
			length, head = binary.BigEndian.Uint64(data[2:]), 10
		} else if length > 125 {
			break
		}
		if uint64(len(data)-head) < length {
			break
		}
		payload := data[head : head+int(length)]
		opcode := data[0] & 15
		data = data[head+int(length):]
		switch opcode {
		case opText:
			f.message(i, payload, now)
		case opPing:
			syscall.Write(one.fd, pong(payload)) // a socket that has ended reports itself by read
		case opClose:
			f.end(i)
			return
		}
	}
	if len(data) > 0 {
		one.rest = clone(data)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func clone(data []byte) []byte { return append([]byte(nil), data...) }

// pong answers a ping; a mask of zeros leaves the payload as it is.
func pong(payload []byte) []byte {
	return append([]byte{0x80 | opPong, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// close ends all; a socket that stalled is looked at first: how many of them the server has cut off.
func (f *fleet) close() (cut int) {
	f.stop.Store(true)
	<-f.done
	for i := range f.sockets {
		syscall.Close(f.sockets[i].fd)
	}
	var wait sync.WaitGroup
	var ended atomic.Int64
	for _, fd := range f.stalled {
		wait.Add(1)
		go func(fd int) {
			defer wait.Done()
			if reset, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err == nil && reset != 0 {
				ended.Add(1)
			}
			syscall.Close(fd)
		}(fd)
	}
	wait.Wait()
	return int(ended.Load())
}
