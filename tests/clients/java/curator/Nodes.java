import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * Curator's framework itself, and Apache's Java client below it: kinds of nodes, transactions, ACLs, persistent watches,
 * reads in one request. `Nodes HOST:PORT`; the server has extendedTypesEnabled.
 */
public final class Nodes {
    private static String server;

    public static void main(String[] arguments) {
        server = arguments[0];
        Check.run("kinds of nodes", Nodes::kinds);
        Check.run("protected creation", Nodes::protection);
        Check.run("transactions", Nodes::transactions);
        Check.run("ACLs and authentication", Nodes::acls);
        Check.run("persistent watches", Nodes::persistentWatches);
        Check.run("removal of watches", Nodes::removal);
        Check.run("the Java client: multi, multiRead, ephemerals, whoAmI", Nodes::javaClient);
        Check.run("reconnection with the session's id and password", Nodes::reconnection);
        Check.run("containers and times to live", Nodes::reaping);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] data) {
        return new String(data, StandardCharsets.UTF_8);
    }

    private static void kinds() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            long session = client.getZookeeperClient().getZooKeeper().getSessionId();
            client.create().creatingParentsIfNeeded().forPath("/kinds/deep/er", bytes("x"));
            Check.equal("/kinds/s-0000000001",
                client.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/kinds/s-"));
            Stat stat = new Stat();
            client.create().storingStatIn(stat).withMode(CreateMode.EPHEMERAL).forPath("/kinds/e", bytes("e"));
            Check.equal(session, stat.getEphemeralOwner());
            Check.equal(1, stat.getDataLength());
            Check.raises(KeeperException.NoChildrenForEphemeralsException.class,
                () -> client.create().forPath("/kinds/e/child"));
            client.create().creatingParentContainersIfNeeded().forPath("/kinds/boxes/in");
            Check.equal(1, client.getChildren().forPath("/kinds/boxes").size());
            // The owner that marks a container or a time to live is the server's own affair.
            Check.equal(0L, client.checkExists().forPath("/kinds/boxes").getEphemeralOwner());
            client.create().withTtl(60_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/kinds/ttl");
            Check.equal(0L, client.checkExists().forPath("/kinds/ttl").getEphemeralOwner());
            client.create().orSetData().forPath("/kinds/deep", bytes("set"));
            Check.equal("set", text(client.getData().storingStatIn(stat).forPath("/kinds/deep")));
            Check.equal(1, stat.getVersion());
            Check.raises(KeeperException.BadVersionException.class,
                () -> client.setData().withVersion(7).forPath("/kinds/deep", bytes("")));
            Check.raises(KeeperException.NotEmptyException.class, () -> client.delete().forPath("/kinds"));
            client.create().compressed().forPath("/kinds/compressed", bytes("a".repeat(10_000)));
            Check.equal("a".repeat(10_000), text(client.getData().decompressed().forPath("/kinds/compressed")));
            client.delete().guaranteed().deletingChildrenIfNeeded().forPath("/kinds");
            Check.equal(null, client.checkExists().forPath("/kinds"));
            client.delete().quietly().forPath("/kinds");
        }
    }

    private static void protection() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            String path = client.create().creatingParentsIfNeeded().withProtection()
                .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/protected/p-");
            Check.that(path.matches("/protected/_c_[0-9a-f-]{36}-p-0000000000"), path);
            CountDownLatch answered = new CountDownLatch(1);
            client.getData().inBackground((framework, event) -> {
                Check.equal(0, event.getResultCode());
                answered.countDown();
            }).forPath(path);
            Check.that(answered.await(Connections.BOUND_SECONDS, TimeUnit.SECONDS), "no callback");
            client.sync().forPath("/protected");
        }
    }

    private static void transactions() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            List<CuratorTransactionResult> results = client.transaction().forOperations(
                client.transactionOp().create().forPath("/tx", bytes("0")),
                client.transactionOp().create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/tx/s-"),
                client.transactionOp().check().withVersion(0).forPath("/tx"),
                client.transactionOp().setData().withVersion(0).forPath("/tx", bytes("1")),
                client.transactionOp().delete().forPath("/tx/s-0000000000"));
            Check.equal(5, results.size());
            Check.equal("/tx/s-0000000000", results.get(1).getResultPath());
            Check.equal(1, results.get(3).getResultStat().getVersion());
            try {
                client.transaction().forOperations(
                    client.transactionOp().setData().forPath("/tx", bytes("lost")),
                    client.transactionOp().delete().forPath("/tx/none"),
                    client.transactionOp().create().forPath("/tx/never"));
                Check.that(false, "a transaction with a failing part was carried out");
            } catch (KeeperException.NoNodeException failure) {
                List<Integer> codes = new ArrayList<>();
                for (OpResult result : failure.getResults()) {
                    codes.add(((OpResult.ErrorResult) result).getErr());
                }
                Check.equal(List.of(0, -101, -2), codes);
            }
            Check.equal("1", text(client.getData().forPath("/tx")));
            Check.equal(List.of(), client.getChildren().forPath("/tx"));
        }
    }

    private static void acls() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework stranger = connections.connect();
            CuratorFramework owner = CuratorFrameworkFactory.builder().connectString(server)
                .retryPolicy(new RetryOneTime(100)).authorization("digest", bytes("owner:secret")).build();
            owner.start();
            owner.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/own", bytes("hidden"));
            Check.raises(KeeperException.NoAuthException.class, () -> stranger.getData().forPath("/own"));
            Check.raises(KeeperException.NoAuthException.class, () -> stranger.getACL().forPath("/own"));
            Check.equal("hidden", text(owner.getData().forPath("/own")));
            Check.equal("digest", owner.getACL().forPath("/own").get(0).getId().getScheme());
            owner.setACL().withVersion(0).withACL(ZooDefs.Ids.READ_ACL_UNSAFE).forPath("/own");
            Check.equal("hidden", text(stranger.getData().forPath("/own")));
            Check.raises(KeeperException.NoAuthException.class, () -> owner.setData().forPath("/own", bytes("")));
            Check.raises(KeeperException.InvalidACLException.class,
                () -> stranger.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/nobody's"));
            owner.close();
        }
    }

    private static void persistentWatches() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            CuratorFramework writer = connections.connect();
            List<String> events = Collections.synchronizedList(new ArrayList<>());
            PersistentWatcher watcher = new PersistentWatcher(client, "/persistent", true);
            watcher.getListenable().addListener(event -> events.add(event.getType() + " " + event.getPath()));
            CountDownLatch armed = new CountDownLatch(1);
            watcher.getResetListenable().addListener(armed::countDown);
            watcher.start();
            Check.that(armed.await(Connections.BOUND_SECONDS, TimeUnit.SECONDS), "the watch was not set");
            writer.create().forPath("/persistent");
            writer.create().forPath("/persistent/a");
            writer.create().forPath("/persistent/a/b");
            writer.setData().forPath("/persistent/a/b", bytes("1"));
            writer.setData().forPath("/persistent/a/b", bytes("2"));
            writer.delete().forPath("/persistent/a/b");
            writer.delete().forPath("/persistent/a");
            List<String> expected = List.of("NodeCreated /persistent", "NodeCreated /persistent/a",
                "NodeCreated /persistent/a/b", "NodeDataChanged /persistent/a/b", "NodeDataChanged /persistent/a/b",
                "NodeDeleted /persistent/a/b", "NodeDeleted /persistent/a");
            Check.until("every event", () -> events.size() >= expected.size());
            Check.equal(expected, List.copyOf(events));
            watcher.close();

            List<String> flat = Collections.synchronizedList(new ArrayList<>());
            client.watchers().add().withMode(AddWatchMode.PERSISTENT)
                .usingWatcher((Watcher) event -> flat.add(event.getType() + " " + event.getPath())).forPath("/persistent");
            writer.create().forPath("/persistent/c");
            writer.setData().forPath("/persistent/c", bytes("1"));
            writer.setData().forPath("/persistent", bytes("1"));
            writer.delete().forPath("/persistent/c");
            writer.delete().forPath("/persistent");
            List<String> flatExpected = List.of("NodeChildrenChanged /persistent", "NodeDataChanged /persistent",
                "NodeChildrenChanged /persistent", "NodeDeleted /persistent");
            Check.until("every event of the node", () -> flat.size() >= flatExpected.size());
            Check.equal(flatExpected, List.copyOf(flat));
        }
    }

    private static void removal() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            client.create().forPath("/removal");
            List<WatchedEvent> events = Collections.synchronizedList(new ArrayList<>());
            Watcher watcher = events::add;
            client.getData().usingWatcher(watcher).forPath("/removal");
            client.getChildren().usingWatcher(watcher).forPath("/removal");
            client.watchers().remove(watcher).ofType(Watcher.WatcherType.Any).forPath("/removal");
            Check.until("two removals", () -> events.size() == 2);
            for (WatchedEvent event : List.copyOf(events)) {
                Check.that(event.getType().name().endsWith("WatchRemoved"), event);
            }
            client.setData().forPath("/removal", bytes("unheard"));
            client.sync().forPath("/removal");
            Check.equal(2, events.size());
            ZooKeeper raw = client.getZookeeperClient().getZooKeeper();
            Check.raises(KeeperException.NoWatcherException.class,
                () -> raw.removeAllWatches("/removal", Watcher.WatcherType.Any, false));
            client.delete().forPath("/removal");
        }
    }

    private static void javaClient() throws Exception {
        try (Connections connections = new Connections(server)) {
            ZooKeeper client = connections.connect().getZookeeperClient().getZooKeeper();
            List<OpResult> made = client.multi(List.of(
                Op.create("/java", bytes("j"), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create("/java/c", bytes("c"), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                Op.create("/java/t", bytes("t"), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 5_000),
                Op.create("/java/e", bytes("e"), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL)));
            Check.equal(4, made.size());
            List<OpResult> read = client.multi(List.of(Op.getData("/java"), Op.getChildren("/java"), Op.getData("/no")));
            Check.equal("j", text(((OpResult.GetDataResult) read.get(0)).getData()));
            Check.equal(3, ((OpResult.GetChildrenResult) read.get(1)).getChildren().size());
            Check.equal(-101, ((OpResult.ErrorResult) read.get(2)).getErr());
            Check.equal(List.of("/java/e"), client.getEphemerals());
            Check.equal(List.of("/java/e"), client.getEphemerals("/java"));
            Check.equal(List.of(), client.getEphemerals("/other"));
            Check.equal(3, client.getAllChildrenNumber("/java"));
            client.addAuthInfo("digest", bytes("user:password"));
            Check.equal("[digest: user, ip: 127.0.0.1]",
                client.whoAmI().stream().map(info -> info.getAuthScheme() + ": " + info.getUser()).sorted().toList().toString());
            Check.equal("", text(client.getConfig(false, new Stat())));
        }
    }

    private static void reconnection() throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper first = new ZooKeeper(server, 10_000, event -> connected.countDown());
        Check.that(connected.await(Connections.BOUND_SECONDS, TimeUnit.SECONDS), "no connection");
        first.create("/session", bytes("s"), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        CountDownLatch taken = new CountDownLatch(1);
        ZooKeeper second = new ZooKeeper(server, 10_000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                taken.countDown();
            }
        }, first.getSessionId(), first.getSessionPasswd());
        Check.that(taken.await(Connections.BOUND_SECONDS, TimeUnit.SECONDS), "the session was not taken over");
        // The first one takes its session back, and so on: between two turns the call gets through.
        Check.until("the session's node to be seen", () -> {
            try {
                return second.exists("/session", false).getEphemeralOwner() == first.getSessionId();
            } catch (KeeperException.ConnectionLossException again) {
                return false;
            }
        });
        CountDownLatch expired = new CountDownLatch(1);
        ZooKeeper forged = new ZooKeeper(server, 10_000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.Expired) {
                expired.countDown();
            }
        }, first.getSessionId(), new byte[16]);
        Check.that(expired.await(Connections.BOUND_SECONDS, TimeUnit.SECONDS), "a wrong password was accepted");
        forged.close();
        second.close();
        first.close();
        try (Connections connections = new Connections(server)) {
            Check.equal(null, connections.connect().checkExists().forPath("/session"));
        }
    }

    /** The server looks for nodes to reap each znode.container.checkIntervalMs, which the caller sets low. */
    private static void reaping() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            client.create().creatingParentContainersIfNeeded().forPath("/box/in");
            client.create().withMode(CreateMode.CONTAINER).forPath("/unused");
            client.create().withTtl(50).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/short");
            client.create().withTtl(600_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/long");
            client.delete().forPath("/box/in");
            Check.until("the empty container to go", () -> client.checkExists().forPath("/box") == null);
            Check.until("the node to go after its time", () -> client.checkExists().forPath("/short") == null);
            Check.that(client.checkExists().forPath("/unused") != null, "a container that never had a child was reaped");
            Check.that(client.checkExists().forPath("/long") != null, "a node was reaped before its time");
        }
    }
}
