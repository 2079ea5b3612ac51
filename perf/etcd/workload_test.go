// Keys, values and the choice among them.
package main

import "testing"

func TestKeysAreNamedAsTheZnodes(t *testing.T) {
	for key, name := range map[int]string{0: "/preload/p0000/child-00000", 1_234_567: "/preload/p1234/child-00567"} {
		if keyName(key) != name {
			t.Errorf("%s, not %s", keyName(key), name)
		}
	}
	if valueOf(28) != "abcdefghijklmnopqrstuvwxyzab" {
		t.Error(valueOf(28))
	}
}

func TestTheShareOfGetsIsKeptAndSeedsAreRepeated(t *testing.T) {
	keys := keyNames(100)
	gets, seen := 0, map[string]bool{}
	one, same := newChooser(1, 2, 0.9, keys), newChooser(1, 2, 0.9, keys)
	for range 10_000 {
		what, key := one.next()
		if what2, key2 := same.next(); what2 != what || key2 != key {
			t.Fatal("the same seed draws otherwise")
		}
		seen[key] = true
		if what == get {
			gets++
		}
	}
	if gets < 8_800 || gets > 9_200 || len(seen) != 100 {
		t.Errorf("%d gets, %d keys", gets, len(seen))
	}
	for share, only := range map[float64]kind{0: set, 1: get} {
		choice := newChooser(1, 0, share, keys)
		for range 1000 {
			if what, _ := choice.next(); what != only {
				t.Fatalf("share %g draws %s", share, what)
			}
		}
	}
}
