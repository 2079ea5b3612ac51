// What the kernel says of the servers and of the machine, from /proc: processor time and resident memory. Format: proc(5).
// The same reckoning as in bench/load/process.rs, so that the figures mean the same.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// USER_HZ, the same on every architecture that we run on.
const ticksPerSecond = 100.0

// The flag of the kernel's own threads, in field 9 of stat.
const kernelThread = 0x0020_0000

type usage struct {
	cpuSeconds float64
	threads    uint64
	// Bytes: heap and stacks; program text and mapped files; shared memory; the most there was at once.
	anonymous, file, shared, peak uint64
}

type machineUsage struct {
	busySeconds float64
	// Of that, what no program is charged for: interrupts and the kernel's threads.
	kernelSeconds float64
	stolenSeconds float64
}

// usageOfEach is in the order of `pids`. Of a process that has ended since it is what was `last` seen of it.
func usageOfEach(pids []int, last []usage) ([]usage, error) {
	found := make([]usage, len(pids))
	for i, pid := range pids {
		one, err := usageOf(pid)
		if err != nil && i >= len(last) {
			return nil, err
		}
		if err != nil {
			one = last[i]
		}
		found[i] = one
	}
	return found, nil
}

func usageOf(pid int) (usage, error) {
	fail := func(err error) (usage, error) {
		return usage{}, fmt.Errorf("cannot read the usage of process %d (--server-pid): %w", pid, err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fail(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return fail(err)
	}
	seconds, ok := cpuSeconds(string(stat))
	fields := statusFields(string(status))
	// A process that has ended, and that nobody has asked about, has no memory any more.
	if _, alive := fields["VmRSS"]; !ok || !alive {
		return fail(fmt.Errorf("it has ended"))
	}
	return usage{
		cpuSeconds: seconds, threads: fields["Threads"], anonymous: fields["RssAnon"] * 1024,
		file: fields["RssFile"] * 1024, shared: fields["RssShmem"] * 1024, peak: fields["VmHWM"] * 1024,
	}, nil
}

func readMachine() (machineUsage, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machineUsage{}, err
	}
	found, ok := machineTimes(string(stat))
	if !ok {
		return machineUsage{}, fmt.Errorf("/proc/stat has no line of all processors")
	}
	found.kernelSeconds += kernelThreadsSeconds()
	return found, nil
}

// Of those that are there now: workers come and go, but seldom within seconds.
func kernelThreadsSeconds() float64 {
	// The pattern is a constant and well formed.
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	sum := 0.0
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil || !isKernelThread(string(stat)) {
			continue
		}
		seconds, _ := cpuSeconds(string(stat))
		sum += seconds
	}
	return sum
}

// behindCommand gives the fields from the third on: the command may hold spaces and brackets.
func behindCommand(stat string) []string {
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
}

func isKernelThread(stat string) bool {
	fields := behindCommand(stat)
	if len(fields) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&kernelThread != 0
}

// Fields 14 and 15, utime and stime.
func cpuSeconds(stat string) (float64, bool) {
	fields := behindCommand(stat)
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseUint(fields[11], 10, 64)
	system, err2 := strconv.ParseUint(fields[12], 10, 64)
	return float64(user+system) / ticksPerSecond, err1 == nil && err2 == nil
}

// The line `cpu user nice system idle iowait irq softirq steal …`; `user` holds the time of guests already.
func machineTimes(stat string) (machineUsage, bool) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return machineUsage{}, false
	}
	var ticks [8]float64
	for i := range ticks {
		value, err := strconv.ParseUint(fields[i+1], 10, 64)
		if err != nil {
			return machineUsage{}, false
		}
		ticks[i] = float64(value) / ticksPerSecond
	}
	return machineUsage{
		busySeconds:   ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6],
		kernelSeconds: ticks[5] + ticks[6],
		stolenSeconds: ticks[7],
	}, true
}

func statusFields(status string) map[string]uint64 {
	found := map[string]uint64{}
	for line := range strings.Lines(status) {
		name, text, _ := strings.Cut(line, ":")
		if words := strings.Fields(text); len(words) > 0 {
			if value, err := strconv.ParseUint(words[0], 10, 64); err == nil {
				found[name] = value
			}
		}
	}
	return found
}
