import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;

/** What the Java programs share: named checks, expectations that say what they saw, and waits with a bound. */
final class Check {
    private static final long BOUND_NANOS = 60_000_000_000L;
    private static final long PAUSE_NANOS = 2_000_000L;

    interface Body {
        void run() throws Exception;
    }

    private Check() {}

    /** Runs one check; a failure ends the program with 1, after saying which check it was and why. */
    static void run(String name, Body body) {
        long start = System.nanoTime();
        try {
            body.run();
        } catch (Throwable failure) {
            System.out.println("FAILED " + name);
            failure.printStackTrace(System.out);
            System.exit(1);
        }
        System.out.println("ok " + name + ", " + (System.nanoTime() - start) / 1_000_000 + " ms");
    }

    static void that(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object seen) {
        that(Objects.equals(expected, seen), "expected " + expected + ", saw " + seen);
    }

    static void raises(Class<? extends Throwable> kind, Body body) throws Exception {
        try {
            body.run();
        } catch (Throwable raised) {
            that(kind.isInstance(raised), "expected " + kind.getName() + ", saw " + raised);
            return;
        }
        throw new AssertionError("expected " + kind.getName() + ", saw no exception");
    }

    /** Looks until the condition holds. */
    static void until(String what, Callable<Boolean> condition) throws Exception {
        long start = System.nanoTime();
        while (!condition.call()) {
            that(System.nanoTime() - start < BOUND_NANOS, "waited in vain: " + what);
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    /** Threads whose failure is the check's failure. */
    static final class Threads {
        private final List<Thread> threads = new ArrayList<>();
        private final List<Throwable> failures = new ArrayList<>();

        Threads start(Body body) {
            Thread thread = new Thread(() -> {
                try {
                    body.run();
                } catch (Throwable failure) {
                    synchronized (failures) {
                        failures.add(failure);
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
            threads.add(thread);
            return this;
        }

        void join() throws Exception {
            for (Thread thread : threads) {
                thread.join(BOUND_NANOS / 1_000_000);
                that(!thread.isAlive(), "a thread of this check doesn't come to its end");
            }
            synchronized (failures) {
                if (!failures.isEmpty()) {
                    throw new AssertionError("in a thread", failures.get(0));
                }
            }
        }
    }
}
