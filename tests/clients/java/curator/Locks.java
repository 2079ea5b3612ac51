import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;

/** Curator's recipes in which sessions wait for each other: locks, semaphores, leaders, barriers. `Locks HOST:PORT`. */
public final class Locks {
    private static String server;

    public static void main(String[] arguments) {
        server = arguments[0];
        Check.run("InterProcessMutex", Locks::mutex);
        Check.run("InterProcessSemaphoreMutex", Locks::semaphoreMutex);
        Check.run("InterProcessMultiLock", Locks::multiLock);
        Check.run("InterProcessReadWriteLock", Locks::readWriteLock);
        Check.run("InterProcessSemaphoreV2", Locks::semaphore);
        Check.run("LeaderLatch", Locks::leaderLatch);
        Check.run("LeaderSelector", Locks::leaderSelector);
        Check.run("DistributedBarrier", Locks::barrier);
        Check.run("DistributedDoubleBarrier", Locks::doubleBarrier);
    }

    private static void mutex() throws Exception {
        try (Connections connections = new Connections(server)) {
            AtomicInteger inside = new AtomicInteger();
            AtomicInteger turns = new AtomicInteger();
            Check.Threads threads = new Check.Threads();
            for (int at = 0; at < 3; at++) {
                CuratorFramework client = connections.connect();
                threads.start(() -> {
                    InterProcessMutex mutex = new InterProcessMutex(client, "/mutex");
                    for (int turn = 0; turn < 10; turn++) {
                        Check.that(mutex.acquire(Connections.BOUND_SECONDS, SECONDS), "no turn");
                        mutex.acquire();
                        Check.equal(1, inside.incrementAndGet());
                        // A round trip inside, so that an overlap would be seen.
                        client.checkExists().forPath("/mutex");
                        inside.decrementAndGet();
                        mutex.release();
                        mutex.release();
                        turns.incrementAndGet();
                    }
                });
            }
            threads.join();
            Check.equal(30, turns.get());
            // A holder whose session ends loses the lock.
            CuratorFramework holder = connections.connect();
            CuratorFramework waiter = connections.connect();
            new InterProcessMutex(holder, "/mutex").acquire();
            InterProcessMutex mine = new InterProcessMutex(waiter, "/mutex");
            Check.that(!mine.acquire(0, MILLISECONDS), "the lock was held twice");
            holder.close();
            Check.that(mine.acquire(Connections.BOUND_SECONDS, SECONDS), "a closed session kept its lock");
            Check.equal(1, mine.getParticipantNodes().size());
            mine.release();
        }
    }

    private static void semaphoreMutex() throws Exception {
        try (Connections connections = new Connections(server)) {
            InterProcessSemaphoreMutex first = new InterProcessSemaphoreMutex(connections.connect(), "/plain-mutex");
            InterProcessSemaphoreMutex second = new InterProcessSemaphoreMutex(connections.connect(), "/plain-mutex");
            first.acquire();
            Check.that(!second.acquire(50, MILLISECONDS), "the lock was held twice");
            first.release();
            Check.that(second.acquire(Connections.BOUND_SECONDS, SECONDS), "the lock was not released");
            second.release();
        }
    }

    private static void multiLock() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework one = connections.connect();
            CuratorFramework other = connections.connect();
            InterProcessMultiLock both = new InterProcessMultiLock(one, List.of("/left", "/right"));
            InterProcessMutex left = new InterProcessMutex(other, "/left");
            both.acquire();
            Check.that(!left.acquire(50, MILLISECONDS), "one of the two locks was free");
            both.release();
            Check.that(left.acquire(Connections.BOUND_SECONDS, SECONDS), "one of the two locks was kept");
            left.release();
        }
    }

    private static void readWriteLock() throws Exception {
        try (Connections connections = new Connections(server)) {
            InterProcessReadWriteLock first = new InterProcessReadWriteLock(connections.connect(), "/rw");
            InterProcessReadWriteLock second = new InterProcessReadWriteLock(connections.connect(), "/rw");
            first.readLock().acquire();
            Check.that(second.readLock().acquire(Connections.BOUND_SECONDS, SECONDS), "readers exclude each other");
            Check.that(!second.writeLock().acquire(50, MILLISECONDS), "a writer got in beside a reader");
            second.readLock().release();
            CountDownLatch written = new CountDownLatch(1);
            Check.Threads writer = new Check.Threads().start(() -> {
                Check.that(second.writeLock().acquire(Connections.BOUND_SECONDS, SECONDS), "the writer had no turn");
                // A writer may become a reader without letting go.
                Check.that(second.readLock().acquire(Connections.BOUND_SECONDS, SECONDS), "no downgrade");
                second.writeLock().release();
                written.countDown();
                second.readLock().release();
            });
            Check.until("the writer to stand in line", () -> first.writeLock().getParticipantNodes().size() == 1);
            Check.equal(1L, written.getCount());
            first.readLock().release();
            writer.join();
        }
    }

    private static void semaphore() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework first = connections.connect();
            InterProcessSemaphoreV2 ours = new InterProcessSemaphoreV2(first, "/semaphore", 2);
            InterProcessSemaphoreV2 theirs = new InterProcessSemaphoreV2(connections.connect(), "/semaphore", 2);
            Collection<Lease> leases = ours.acquire(2);
            Check.equal(2, leases.size());
            Check.equal(null, theirs.acquire(50, MILLISECONDS));
            Check.equal(2, theirs.getParticipantNodes().size());
            ours.returnAll(leases);
            Lease lease = theirs.acquire(Connections.BOUND_SECONDS, SECONDS);
            Check.that(lease != null, "a returned lease can't be had");
            Lease other = ours.acquire(Connections.BOUND_SECONDS, SECONDS);
            Check.that(other != null, "the second lease can't be had");
            first.close();
            Lease again = theirs.acquire(Connections.BOUND_SECONDS, SECONDS);
            Check.that(again != null, "a closed session kept its lease");
            theirs.returnAll(List.of(lease, again));
        }
    }

    private static void leaderLatch() throws Exception {
        try (Connections connections = new Connections(server)) {
            List<LeaderLatch> latches = new ArrayList<>();
            for (int at = 0; at < 3; at++) {
                LeaderLatch latch = new LeaderLatch(connections.connect(), "/latch", "candidate-" + at);
                latch.start();
                latches.add(latch);
            }
            Check.until("three candidates", () -> latches.get(0).getParticipants().size() == 3);
            while (!latches.isEmpty()) {
                Check.until("a leader", () -> latches.stream().anyMatch(LeaderLatch::hasLeadership));
                List<LeaderLatch> leaders = latches.stream().filter(LeaderLatch::hasLeadership).toList();
                Check.equal(1, leaders.size());
                Check.equal(leaders.get(0).getId(), latches.get(0).getLeader().getId());
                latches.remove(leaders.get(0));
                leaders.get(0).close();
            }
        }
    }

    private static void leaderSelector() throws Exception {
        try (Connections connections = new Connections(server)) {
            List<String> leaders = Collections.synchronizedList(new ArrayList<>());
            AtomicInteger together = new AtomicInteger();
            AtomicInteger most = new AtomicInteger();
            List<LeaderSelector> selectors = new ArrayList<>();
            for (int at = 0; at < 3; at++) {
                String name = "candidate-" + at;
                LeaderSelector selector =
                    new LeaderSelector(connections.connect(), "/selector", new LeaderSelectorListenerAdapter() {
                        @Override
                        public void takeLeadership(CuratorFramework client) throws Exception {
                            most.accumulateAndGet(together.incrementAndGet(), Math::max);
                            client.checkExists().forPath("/selector");
                            leaders.add(name);
                            together.decrementAndGet();
                        }
                    });
                selector.setId(name);
                selector.autoRequeue();
                selector.start();
                selectors.add(selector);
            }
            Check.until("each to lead twice", () -> {
                List<String> seen = List.copyOf(leaders);
                return seen.stream().distinct().allMatch(name -> Collections.frequency(seen, name) >= 2)
                    && seen.stream().distinct().count() == 3;
            });
            Check.equal(1, most.get());
            selectors.forEach(LeaderSelector::close);
        }
    }

    private static void barrier() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework keeper = connections.connect();
            DistributedBarrier barrier = new DistributedBarrier(keeper, "/barrier");
            barrier.setBarrier();
            DistributedBarrier waiting = new DistributedBarrier(connections.connect(), "/barrier");
            Check.that(!waiting.waitOnBarrier(50, MILLISECONDS), "the barrier was open");
            CountDownLatch passed = new CountDownLatch(1);
            Check.Threads waiter = new Check.Threads().start(() -> {
                Check.that(waiting.waitOnBarrier(Connections.BOUND_SECONDS, SECONDS), "the barrier stays");
                passed.countDown();
            });
            Check.equal(1L, passed.getCount());
            barrier.removeBarrier();
            waiter.join();
        }
    }

    private static void doubleBarrier() throws Exception {
        try (Connections connections = new Connections(server)) {
            AtomicInteger coming = new AtomicInteger();
            AtomicInteger leaving = new AtomicInteger();
            Check.Threads members = new Check.Threads();
            for (int at = 0; at < 3; at++) {
                DistributedDoubleBarrier barrier =
                    new DistributedDoubleBarrier(connections.connect(), "/double-barrier", 3);
                members.start(() -> {
                    coming.incrementAndGet();
                    Check.that(barrier.enter(Connections.BOUND_SECONDS, SECONDS), "not all came");
                    Check.equal(3, coming.get());
                    leaving.incrementAndGet();
                    Check.that(barrier.leave(Connections.BOUND_SECONDS, SECONDS), "not all left");
                    Check.equal(3, leaving.get());
                });
            }
            members.join();
        }
    }
}
