// The readings of /proc, on texts and on this very process.
package main

import (
	"os"
	"testing"
)

const stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 10 0 0 0 250 150 0 0 20 0 8 0 100 0 0"

func TestTimesStandBehindTheCommandsLastBracket(t *testing.T) {
	if seconds, ok := cpuSeconds(stat); !ok || seconds != 4 {
		t.Errorf("%g %v", seconds, ok)
	}
	if _, ok := cpuSeconds("42 (a) S 1"); ok {
		t.Error("a short line is taken")
	}
	if isKernelThread(stat) || !isKernelThread("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 5") {
		t.Error("threads of the kernel are told by their flag")
	}
}

func TestTheMachinesLine(t *testing.T) {
	seen, ok := machineTimes("cpu  100 200 300 400 500 600 700 800 0 0\ncpu0 1\n")
	if !ok || seen != (machineUsage{busySeconds: 19, kernelSeconds: 13, stolenSeconds: 8}) {
		t.Errorf("%+v %v", seen, ok)
	}
	if _, ok := machineTimes("intr 5"); ok {
		t.Error("another line is taken")
	}
}

func TestOfAProcessThatEndedTheLastUsageIsTold(t *testing.T) {
	own, err := usageOf(os.Getpid())
	if err != nil || own.anonymous == 0 || own.threads == 0 {
		t.Fatalf("%+v %v", own, err)
	}
	// Beyond the kernel's largest number of processes.
	const nobody = 1 << 30
	if _, err := usageOfEach([]int{nobody}, nil); err == nil {
		t.Error("nobody has a usage")
	}
	if seen, err := usageOfEach([]int{nobody}, []usage{own}); err != nil || seen[0] != own {
		t.Errorf("%+v %v", seen, err)
	}
}
