// The other side of the measurement, without any package but Go's own:
//
//	peer serve               net/http that answers like GET /livez; prints its port
//	peer port                prints a port that is free now
//	peer hold ADDRESS COUNT  COUNT idle keep-alive connections; prints "ready", holds them until standard input ends,
//	                         then asks on each once more and prints "alive"
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	loopback = "127.0.0.1:0"
	dialers  = 32
	patience = 20 * time.Second
)

func listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", loopback)
	if err == nil {
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	}
	return listener, err
}

func serve() error {
	listener, err := listen()
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(reply http.ResponseWriter, _ *http.Request) {
		reply.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(reply, "OK\n")
	}))
}

func port() error {
	listener, err := listen()
	if err != nil {
		return err
	}
	return listener.Close()
}

// Sends one request and reads its whole reply, so that the connection is idle again.
func ask(connection net.Conn) error {
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(connection, "GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n", connection.RemoteAddr()); err != nil {
		return err
	}
	reply, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK || reply.Close {
		return fmt.Errorf("answered %s, closing: %v", reply.Status, reply.Close)
	}
	_, err = io.Copy(io.Discard, reply.Body)
	return err
}

// Calls work for 0 to count-1, some at a time, and returns the first error.
func each(count int, work func(int) error) error {
	var group sync.WaitGroup
	failures := make(chan error, dialers)
	for first := 0; first < dialers; first++ {
		group.Add(1)
		go func(first int) {
			defer group.Done()
			for i := first; i < count; i += dialers {
				if err := work(i); err != nil {
					failures <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		}(first)
	}
	group.Wait()
	close(failures)
	return <-failures
}

func hold(address string, count int) error {
	connections := make([]net.Conn, count)
	err := each(count, func(i int) (err error) {
		if connections[i], err = net.DialTimeout("tcp", address, patience); err != nil {
			return err
		}
		return ask(connections[i])
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	if err := each(count, func(i int) error { return ask(connections[i]) }); err != nil {
		return fmt.Errorf("not held to the end: %w", err)
	}
	fmt.Println("alive")
	return nil
}

func run(words []string) error {
	switch {
	case len(words) == 1 && words[0] == "serve":
		return serve()
	case len(words) == 1 && words[0] == "port":
		return port()
	case len(words) == 3 && words[0] == "hold":
		count, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		return hold(words[1], count)
	}
	return fmt.Errorf("usage: peer serve | port | hold ADDRESS COUNT")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}
