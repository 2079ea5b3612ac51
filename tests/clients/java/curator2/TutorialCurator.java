import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/**
 * What the tutorials show with Curator 2.12.0 (over the client of ZooKeeper 3.4): a namespace, watchers, recursive
 * creation and deletion. `TutorialCurator HOST:PORT`
 */
public final class TutorialCurator {
    private static String server;

    public static void main(String[] arguments) {
        server = arguments[0];
        Check.run("a node's life in a namespace", TutorialCurator::life);
        Check.run("kinds of nodes, recursion, watchers", TutorialCurator::recursion);
    }

    private static CuratorFramework connect(String namespace) {
        CuratorFramework client = CuratorFrameworkFactory.builder()
            .connectString(server)
            .sessionTimeoutMs(15_000)
            .connectionTimeoutMs(13_000)
            .retryPolicy(new ExponentialBackoffRetry(1000, 3))
            .namespace(namespace)
            .build();
        client.start();
        return client;
    }

    private static void life() throws Exception {
        CuratorFramework client = connect("logs");
        CuratorFramework whole = connect(null);
        Check.equal("/host", client.create().forPath("/host", "myhost".getBytes()));
        Check.equal("myhost", new String(whole.getData().forPath("/logs/host")));
        List<String> events = Collections.synchronizedList(new ArrayList<>());
        CuratorWatcher watcher = event -> events.add(event.getType() + " " + event.getPath());
        Check.equal("myhost", new String(client.getData().usingWatcher(watcher).forPath("/host")));
        Check.equal(1, client.setData().forPath("/host", "newhost".getBytes()).getVersion());
        Check.equal("newhost", new String(client.getData().forPath("/host")));
        Check.until("the change", () -> events.contains("NodeDataChanged /host"));
        client.delete().forPath("/host");
        Check.equal(null, client.checkExists().forPath("/host"));
        Check.that(whole.checkExists().forPath("/logs") != null, "the namespace went with its node");
        // The watch was good for one event.
        Check.equal(1, events.size());
        client.close();
        whole.close();
    }

    private static void recursion() throws Exception {
        CuratorFramework client = connect("deep");
        client.create().creatingParentsIfNeeded().withMode(CreateMode.EPHEMERAL).forPath("/a/b/c");
        Check.raises(KeeperException.NodeExistsException.class, () -> client.create().forPath("/a/b/c"));
        Check.raises(KeeperException.NoNodeException.class, () -> client.create().forPath("/none/b"));
        Check.equal(List.of("c"), client.getChildren().forPath("/a/b"));
        List<String> events = Collections.synchronizedList(new ArrayList<>());
        CuratorWatcher watcher = event -> events.add(event.getType() + " " + event.getPath());
        Check.equal(null, client.checkExists().usingWatcher(watcher).forPath("/a/d"));
        client.getChildren().usingWatcher(watcher).forPath("/a");
        client.create().forPath("/a/d", "d".getBytes());
        Check.until("both events", () -> events.contains("NodeCreated /a/d") && events.contains("NodeChildrenChanged /a"));
        Stat stat = new Stat();
        client.getData().storingStatIn(stat).forPath("/a/d");
        Check.equal(1, stat.getDataLength());
        Check.raises(KeeperException.BadVersionException.class, () -> client.delete().withVersion(5).forPath("/a/d"));
        Check.raises(KeeperException.NotEmptyException.class, () -> client.delete().forPath("/a"));
        var results = client.inTransaction()
            .create().forPath("/a/t", "t".getBytes()).and()
            .setData().withVersion(0).forPath("/a/t", "u".getBytes()).and()
            .check().withVersion(1).forPath("/a/t").and()
            .delete().forPath("/a/d").and().commit();
        Check.equal(4, results.size());
        Check.equal("u", new String(client.getData().forPath("/a/t")));
        client.delete().deletingChildrenIfNeeded().forPath("/a");
        Check.equal(null, client.checkExists().forPath("/a"));
        client.close();
    }
}
