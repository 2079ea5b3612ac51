"""What the checks with kazoo share: a connected client, waits with a bound, and the command line of a check."""

import sys
import threading

from kazoo.client import KazooClient

# A check waits no longer than this for one thing, and never sleeps.
BOUND = 60.0


def connected(port, **options):
    client = KazooClient(hosts="127.0.0.1:%d" % port, timeout=10.0, **options)
    client.start(timeout=BOUND)
    return client


def wait(event, what):
    assert event.wait(BOUND), "waited in vain: " + what


def raises(error, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except error:
        return
    raise AssertionError("%r did not raise %s" % (call, error.__name__))


class Seen:
    """What happened, in order, told by other threads; the checking thread waits for it."""

    def __init__(self):
        self.items = []
        self._changed = threading.Condition()

    def add(self, item):
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def until(self, condition, what):
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.items), BOUND), "waited in vain: %s; saw %r" % (
                what,
                self.items,
            )


class Background:
    """A thread whose failure is the check's failure: `join` raises what it raised."""

    def __init__(self, action, *arguments):
        self.error = None
        self._thread = threading.Thread(target=self._run, args=(action, arguments), daemon=True)
        self._thread.start()

    def _run(self, action, arguments):
        try:
            action(*arguments)
        except BaseException as error:  # raised again by `join`
            self.error = error

    def join(self):
        self._thread.join(BOUND)
        assert not self._thread.is_alive(), "a thread of this check doesn't come to its end"
        if self.error is not None:
            raise self.error


def main(*checks):
    names = {check.__name__: check for check in checks}
    if len(sys.argv) != 3 or sys.argv[2] not in names:
        sys.exit("usage: %s PORT CHECK, where CHECK is one of: %s" % (sys.argv[0], ", ".join(names)))
    names[sys.argv[2]](int(sys.argv[1]))
