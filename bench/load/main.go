// Command load makes HTTP and WebSocket load, and accounts for the CPU and memory of those who serve it.
//
//	load request   HTTP requests, closed loop or (-rate) open loop
//	load watch     subscribers or pollers of the live board, while a publisher changes it
//
// One JSON object on stdout is the result. Linux only; no dependencies.
//
// Paths, headers and bodies are templates: {player} and {token} of the player whose turn it is, {seq} the number of the
// request, {id} a text that no other request has.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// result is what is printed; keys are in the units that their names end in.
type result map[string]any

// texts is a flag that may be given several times.
type texts []string

func (t *texts) String() string     { return strings.Join(*t, ",") }
func (t *texts) Set(s string) error { *t = append(*t, s); return nil }

func main() {
	modes := map[string]func([]string) (result, error){"request": request, "watch": watch}
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: load request|watch [flags]"))
	}
	done, err := modes[os.Args[1]](os.Args[2:])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(done); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}
