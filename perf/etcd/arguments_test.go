// What the command line takes and what it refuses.
package main

import (
	"slices"
	"strings"
	"testing"
)

func TestServersInOneWordOrInSeveral(t *testing.T) {
	o, err := parseOptions(strings.Fields("--server a:1,b:2 --server c:3 --op mixed:0.25 --server-pid 7 --server-pid 8"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.servers, []string{"a:1", "b:2", "c:3"}) || !slices.Equal(o.serverPids, []int{7, 8}) || o.readShare != 0.25 {
		t.Errorf("%+v", o)
	}
}

func TestWhatIsWrongIsNamedAtOnce(t *testing.T) {
	_, err := parseOptions(strings.Fields("--op delete --sessions 0 --rate 0"))
	for _, flag := range []string{"--op", "--sessions", "--rate"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s isn't named: %v", flag, err)
		}
	}
	wrong := []string{"--server nowhere --op get", "--op mixed:1.5", "--op mixed:NaN", "--op get more", "--server-pid 0 --op get"}
	for _, line := range wrong {
		if _, err := parseOptions(strings.Fields(line)); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}
