package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	dialers          = 16
	smallBuffer      = 4096 // bytes that the kernel keeps for a reader that stalls
	opText           = 1
	opClose          = 8
	opPing           = 9
	opPong           = 10
	handshakeSeconds = 20
	lookMilliseconds = 20 // between two looks at what has been opened
)

// socket is one subscriber; rest is the beginning of an incomplete frame.
type socket struct {
	fd     int
	rest   []byte
	closed bool
}

// fleet is many WebSocket subscribers, read by one thread, which alone touches a socket once it is open.
type fleet struct {
	epoll   int
	sockets []socket
	byFd    map[int32]int
	message func(subscriber int, payload []byte, now time.Time)
	stalled []socket // never read

	opened chan int
	closed atomic.Int64
	stop   atomic.Bool
	done   chan struct{}
}

// connect opens `readers` subscribers, each of which is read from then on, and `stalled` more that never are.
func connect(address string, readers, stalled int, message func(int, []byte, time.Time)) (*fleet, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	if scheme != "ws" {
		return nil, fmt.Errorf("%q is no ws:// address", address)
	}
	host, path, _ := strings.Cut(rest, "/")
	f := &fleet{
		sockets: make([]socket, readers), stalled: make([]socket, stalled), byFd: map[int32]int{}, message: message,
		opened: make(chan int, readers), done: make(chan struct{}),
	}
	var err error
	if f.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	go f.read()
	return f, f.openAll(host, "/"+path)
}

func (f *fleet) openAll(host, path string) error {
	var next atomic.Int64
	failures := make(chan error, dialers)
	for d := 0; d < dialers; d++ {
		go func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(f.sockets)+len(f.stalled) {
					failures <- nil
					return
				}
				if err := f.openOne(i, host, path); err != nil {
					failures <- fmt.Errorf("subscriber %d: %w", i, err)
					return
				}
			}
		}()
	}
	var failed error
	for d := 0; d < dialers; d++ {
		failed = firstError(failed, <-failures)
	}
	return failed
}

func (f *fleet) openOne(i int, host, path string) (err error) {
	if i >= len(f.sockets) {
		f.stalled[i-len(f.sockets)], err = open(host, path, true)
		return err
	}
	if f.sockets[i], err = open(host, path, false); err == nil {
		f.opened <- i
	}
	return err
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
	patience := syscall.Timeval{Sec: handshakeSeconds}
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

// admit begins to read newly opened sockets, first the bytes that came with the handshake.
func (f *fleet) admit() error {
	for {
		select {
		case i := <-f.opened:
			fd := f.sockets[i].fd
			f.byFd[int32(fd)] = i
			event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
			err := firstError(
				syscall.SetNonblock(fd, true), syscall.EpollCtl(f.epoll, syscall.EPOLL_CTL_ADD, fd, &event))
			if err != nil {
				return err
			}
			f.take(i, nil, time.Now())
		default:
			return nil
		}
	}
}

func (f *fleet) read() {
	runtime.LockOSThread()
	defer close(f.done)
	events := make([]syscall.EpollEvent, 1024)
	chunk := make([]byte, 1<<17)
	for !f.stop.Load() {
		n, err := syscall.EpollWait(f.epoll, events, lookMilliseconds)
		if err == syscall.EINTR {
			continue
		}
		if err = firstError(err, f.admit()); err != nil {
			fail(err)
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

// take parses received bytes. Servers' frames carry no mask. Source: RFC 6455, section 5.2.
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

// close ends all, and returns how many stalled sockets the server had cut off.
func (f *fleet) close() (cut int) {
	f.stop.Store(true)
	<-f.done
	for i := range f.sockets {
		syscall.Close(f.sockets[i].fd)
	}
	for _, one := range f.stalled {
		if reset, err := syscall.GetsockoptInt(one.fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err == nil && reset != 0 {
			cut++
		}
		syscall.Close(one.fd)
	}
	return cut
}
