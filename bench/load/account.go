package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const ticksPerSecond = 100 // USER_HZ, the same on every Linux

// groups are the process trees to account for, by name: "server=12,13".
type groups map[string][]int

func (g groups) String() string { return "" }

func (g groups) Set(text string) error {
	name, list, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not name=pid,pid", text)
	}
	for _, word := range strings.Split(list, ",") {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		g[name] = append(g[name], pid)
	}
	return nil
}

// account is the CPU (seconds) that was used up to one moment, and the memory (bytes) in use.
type account struct {
	at    time.Time
	own   float64
	busy  float64 // all cores, everybody
	stole float64 // taken by the hypervisor
	cpu   map[string]float64
	rss   map[string]float64
}

func (g groups) take() account {
	a := account{at: time.Now(), own: ownCPU(), cpu: map[string]float64{}, rss: map[string]float64{}}
	processes := readProcesses()
	for name, roots := range g {
		a.cpu[name], a.rss[name] = processes.tree(roots)
	}
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := strings.Cut(string(text), "\n")
		ticks := func(column int) float64 {
			n, _ := strconv.ParseFloat(strings.Fields(line)[column], 64)
			return n / ticksPerSecond
		}
		a.stole = ticks(8)
		a.busy = ticks(1) + ticks(2) + ticks(3) + ticks(6) + ticks(7) + a.stole
	}
	return a
}

// report puts what was used between two accounts into r, shares in parts of one core.
func report(r result, before, after account) {
	seconds := after.at.Sub(before.at).Seconds()
	used := map[string]float64{}
	others := after.busy - before.busy - (after.own - before.own)
	for name := range after.cpu {
		used[name] = rounded(after.cpu[name]-before.cpu[name], 4)
		others -= used[name]
	}
	r["seconds"] = rounded(seconds, 3)
	r["cpu_seconds"] = used
	r["rss_bytes"] = after.rss
	r["generator_share"] = rounded((after.own-before.own)/seconds, 3)
	r["others_share"] = rounded(others/seconds, 3)
	r["steal_share"] = rounded((after.stole-before.stole)/seconds, 3)
}

func ownCPU() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		fail(err)
	}
	return float64(used.Utime.Sec+used.Stime.Sec) + float64(used.Utime.Usec+used.Stime.Usec)/1e6
}

type process struct {
	parent   int
	cpu, rss float64
}

type processes map[int]process

func readProcesses() processes {
	found := processes{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	page := float64(os.Getpagesize())
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// The name, in parentheses, may hold anything; the numbers begin after it. Source: proc(5).
		words := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		number := func(column int) float64 { n, _ := strconv.ParseFloat(words[column-3], 64); return n }
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		ticks := number(14) + number(15) + number(16) + number(17) // with those of children that have ended
		found[pid] = process{int(number(4)), ticks / ticksPerSecond, number(24) * page}
	}
	return found
}

// tree sums the given processes and all their descendants.
func (p processes) tree(roots []int) (cpu, rss float64) {
	inside := map[int]bool{}
	for _, pid := range roots {
		inside[pid] = true
	}
	for grew := true; grew; {
		grew = false
		for pid, one := range p {
			if !inside[pid] && inside[one.parent] {
				inside[pid], grew = true, true
			}
		}
	}
	for pid := range inside {
		cpu += p[pid].cpu
		rss += p[pid].rss
	}
	return cpu, rss
}
