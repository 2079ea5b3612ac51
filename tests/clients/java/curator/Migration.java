import static java.util.concurrent.TimeUnit.SECONDS;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.data.Stat;

/**
 * Curator while the servers below it are replaced: holds a lock, an ephemeral znode and watches all along.
 * `Migration HOST:PORT HOSTS`; the words on its input and what it prints are those of tests/clients/kazoo/migration.py.
 */
public final class Migration {
    private static final String TOP = "/migration";
    private static final String LOCK = TOP + "/curator-lock";
    private static final String EPHEMERAL = TOP + "/curator-ephemeral";

    /** A client whose session must live as long as the check. */
    private static final class Session {
        final List<ConnectionState> states = new CopyOnWriteArrayList<>();
        final CuratorFramework client;
        final long id;

        Session(String hosts) throws Exception {
            client = CuratorFrameworkFactory.builder()
                .connectString(hosts)
                .sessionTimeoutMs(30_000)
                .connectionTimeoutMs(10_000)
                .retryPolicy(new RetryNTimes(300, 100))
                .build();
            client.getConnectionStateListenable().addListener((curator, state) -> states.add(state));
            client.start();
            Check.that(client.blockUntilConnected(60, SECONDS), "no connection to " + hosts);
            id = client.getZookeeperClient().getZooKeeper().getSessionId();
        }

        /** It is connected, was never lost, and is the one it was. How often it had to connect again. */
        int check() throws Exception {
            Check.until("a connection", () -> states.get(states.size() - 1).isConnected());
            Check.that(!states.contains(ConnectionState.LOST), states);
            Check.equal(id, client.getZookeeperClient().getZooKeeper().getSessionId());
            return (int) states.stream().filter(state -> state == ConnectionState.SUSPENDED).count();
        }

        long owner(String path) throws Exception {
            Stat stat = client.checkExists().forPath(path);
            Check.that(stat != null, path + " is gone");
            return stat.getEphemeralOwner();
        }
    }

    private final Session holder;
    private final Session waiter;
    private final InterProcessMutex lock;
    private final CountDownLatch got = new CountDownLatch(1);
    private final List<String> events = new CopyOnWriteArrayList<>();
    private String data;
    private List<String> children;

    private Migration(String hosts) throws Exception {
        holder = new Session(hosts);
        waiter = new Session(hosts);
        lock = new InterProcessMutex(holder.client, LOCK);
    }

    public static void main(String[] arguments) {
        Check.run("Migration", () -> new Migration(arguments[1]).run());
    }

    private void arm() throws Exception {
        CuratorWatcher watcher = event -> {
            if (event.getType() != EventType.None) {
                events.add(event.getType() + " " + event.getPath());
            }
        };
        data = new String(holder.client.getData().usingWatcher(watcher).forPath(TOP + "/data"));
        children = holder.client.getChildren().usingWatcher(watcher).forPath(TOP + "/children");
    }

    private int held() throws Exception {
        int again = holder.check();
        waiter.check();
        Check.that(lock.isAcquiredInThisProcess(), "the lock is lost");
        List<String> nodes = new ArrayList<>(lock.getParticipantNodes());
        Check.equal(2, nodes.size());
        Check.equal(holder.id, holder.owner(nodes.get(0)));
        Check.equal(holder.id, holder.owner(EPHEMERAL));
        Check.equal(1L, got.getCount());
        return again;
    }

    private void run() throws Exception {
        Check.that(lock.acquire(60, SECONDS), "nobody else wants the lock yet");
        holder.client.create().withMode(CreateMode.EPHEMERAL).forPath(EPHEMERAL);
        arm();
        Check.Threads threads = new Check.Threads();
        threads.start(() -> {
            InterProcessMutex mine = new InterProcessMutex(waiter.client, LOCK);
            mine.acquire();
            got.countDown();
            mine.release();
        });
        Check.until("somebody who waits for the lock", () -> lock.getParticipantNodes().size() == 2);
        System.out.println("armed 0");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "look":
                    int again = held();
                    Check.equal(List.of(), events);
                    System.out.println("quiet " + words[1] + ", connected " + again + " times again");
                    break;
                case "changed":
                    Check.until("both watches", () -> events.size() >= 2);
                    List<String> seen = new ArrayList<>(events);
                    seen.sort(null);
                    Check.equal(
                        List.of("NodeChildrenChanged " + TOP + "/children", "NodeDataChanged " + TOP + "/data"),
                        seen);
                    events.clear();
                    arm();
                    Check.equal(words[1], data);
                    Check.that(children.contains("c" + words[1]), children);
                    System.out.println("armed " + words[1]);
                    break;
                case "end":
                    held();
                    lock.release();
                    Check.that(got.await(60, SECONDS), "who waited for the lock doesn't get it");
                    threads.join();
                    holder.check();
                    waiter.check();
                    holder.client.close();
                    waiter.client.close();
                    return;
                default:
                    throw new AssertionError(line);
            }
        }
        throw new AssertionError("the caller has ended");
    }
}
