// What is asked: keys and values, the same as those of `ringkeeper-load`, and which comes next.
package main

import (
	"fmt"
	"math/rand/v2"
)

// Below it are all keys, 1,000 to a parent: etcd has no parents, but the names have the length of the znodes' paths.
const (
	root              = "/preload"
	childrenPerParent = 1_000
)

// kind of an operation; each has a histogram of its own.
type kind int

const (
	get kind = iota
	set
	kinds
)

func (k kind) String() string {
	return [kinds]string{"get", "set"}[k]
}

// keyName has 26 bytes for the first ten million keys.
func keyName(key int) string {
	return fmt.Sprintf("%s/p%04d/child-%05d", root, key/childrenPerParent, key%childrenPerParent)
}

// keyNames makes them once: formatting one costs as much as a part of a request.
func keyNames(count int) []string {
	names := make([]string, count)
	for key := range names {
		names[key] = keyName(key)
	}
	return names
}

// valueOf has so many bytes: the alphabet again and again.
func valueOf(bytes int) string {
	value := make([]byte, bytes)
	for i := range value {
		value[i] = 'a' + byte(i%26)
	}
	return string(value)
}

// chooser draws what a worker asks next; seeded, so that two runs ask alike.
type chooser struct {
	random    *rand.Rand
	readShare float64
	keys      []string
}

func newChooser(seed, stream uint64, readShare float64, keys []string) *chooser {
	return &chooser{rand.New(rand.NewPCG(seed, stream)), readShare, keys}
}

func (c *chooser) next() (kind, string) {
	what := set
	if c.random.Float64() < c.readShare {
		what = get
	}
	return what, c.keys[c.random.IntN(len(c.keys))]
}
