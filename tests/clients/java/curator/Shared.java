import static java.util.concurrent.TimeUnit.SECONDS;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;
import org.apache.zookeeper.CreateMode;

/** Curator's recipes for data that sessions share: queues, caches, counters, groups, services. `Shared HOST:PORT`. */
@SuppressWarnings("deprecation") // the older caches are in use, and are tested for that
public final class Shared {
    private static String server;

    public static void main(String[] arguments) {
        server = arguments[0];
        Check.run("SimpleDistributedQueue", Shared::simpleQueue);
        Check.run("DistributedQueue", Shared::queue);
        Check.run("DistributedPriorityQueue, DistributedIdQueue, DistributedDelayQueue", Shared::otherQueues);
        Check.run("CuratorCache", Shared::curatorCache);
        Check.run("NodeCache", Shared::nodeCache);
        Check.run("PathChildrenCache", Shared::pathChildrenCache);
        Check.run("TreeCache", Shared::treeCache);
        Check.run("SharedCount", Shared::sharedCount);
        Check.run("DistributedAtomicLong", Shared::atomicLong);
        Check.run("PersistentNode and GroupMember", Shared::members);
        Check.run("service discovery", Shared::discovery);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] data) {
        return new String(data, StandardCharsets.UTF_8);
    }

    private static void simpleQueue() throws Exception {
        try (Connections connections = new Connections(server)) {
            SimpleDistributedQueue producer = new SimpleDistributedQueue(connections.connect(), "/simple-queue");
            SimpleDistributedQueue consumer = new SimpleDistributedQueue(connections.connect(), "/simple-queue");
            for (int at = 0; at < 5; at++) {
                Check.that(producer.offer(bytes("item-" + at)), "not taken");
            }
            Check.equal("item-0", text(consumer.peek()));
            for (int at = 0; at < 5; at++) {
                Check.equal("item-" + at, text(consumer.take()));
            }
            Check.equal(null, consumer.poll());
            List<String> taken = Collections.synchronizedList(new ArrayList<>());
            Check.Threads waiter = new Check.Threads()
                .start(() -> taken.add(text(consumer.poll(Connections.BOUND_SECONDS, SECONDS))));
            producer.offer(bytes("late"));
            waiter.join();
            Check.equal(List.of("late"), taken);
        }
    }

    private static final class Consumer implements QueueConsumer<String> {
        final List<String> taken = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void consumeMessage(String message) {
            taken.add(message);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}
    }

    private static final class Text implements QueueSerializer<String> {
        @Override
        public byte[] serialize(String item) {
            return bytes(item);
        }

        @Override
        public String deserialize(byte[] data) {
            return text(data);
        }
    }

    private static void queue() throws Exception {
        try (Connections connections = new Connections(server)) {
            Consumer consumer = new Consumer();
            DistributedQueue<String> producing =
                QueueBuilder.builder(connections.connect(), null, new Text(), "/queue").buildQueue();
            producing.start();
            List<String> items = new ArrayList<>();
            for (int at = 0; at < 20; at++) {
                items.add("item-" + at);
                producing.put("item-" + at);
            }
            Check.that(producing.flushPuts((int) Connections.BOUND_SECONDS, SECONDS), "puts are not done");
            // With a lock path an item that was not handled to its end is there again.
            DistributedQueue<String> consuming = QueueBuilder
                .builder(connections.connect(), consumer, new Text(), "/queue").lockPath("/queue-locks").buildQueue();
            consuming.start();
            Check.until("all items", () -> consumer.taken.size() >= 20);
            Check.equal(items, consumer.taken.stream().sorted((one, other) ->
                Integer.compare(items.indexOf(one), items.indexOf(other))).toList());
            producing.close();
            consuming.close();
        }
    }

    private static void otherQueues() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework client = connections.connect();
            Consumer urgent = new Consumer();
            DistributedPriorityQueue<String> priorities =
                QueueBuilder.builder(client, urgent, new Text(), "/priority-queue").buildPriorityQueue(0);
            priorities.start();
            priorities.put("low", 9);
            priorities.put("high", -9);
            Check.until("both", () -> urgent.taken.size() == 2);
            priorities.close();

            DistributedIdQueue<String> named =
                QueueBuilder.builder(client, null, new Text(), "/id-queue").buildIdQueue();
            named.start();
            named.put("first", "a");
            named.put("second", "b");
            Check.that(named.flushPuts((int) Connections.BOUND_SECONDS, SECONDS), "puts are not done");
            Check.equal(1, named.remove("a"));
            Check.equal(0, named.remove("a"));
            named.close();

            Consumer later = new Consumer();
            DistributedDelayQueue<String> delayed =
                QueueBuilder.builder(client, later, new Text(), "/delay-queue").buildDelayQueue();
            delayed.start();
            long due = System.currentTimeMillis() + 200;
            delayed.put("later", due);
            Check.until("the delayed item", () -> later.taken.size() == 1);
            Check.that(System.currentTimeMillis() >= due, "an item came before its time");
            delayed.close();
        }
    }

    private static void curatorCache() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework writer = connections.connect();
            writer.create().creatingParentsIfNeeded().forPath("/cache/a", bytes("1"));
            CuratorCache cache = CuratorCache.build(connections.connect(), "/cache");
            List<String> events = Collections.synchronizedList(new ArrayList<>());
            cache.listenable().addListener(CuratorCacheListener.builder()
                .forCreates(node -> events.add("created " + node.getPath()))
                .forChanges((old, node) -> events.add("changed " + node.getPath() + " " + text(node.getData())))
                .forDeletes(node -> events.add("deleted " + node.getPath()))
                .forInitialized(() -> events.add("initialized"))
                .build());
            cache.start();
            Check.until("the cache to be filled", () -> events.contains("initialized"));
            Check.equal("1", text(cache.get("/cache/a").orElseThrow().getData()));
            for (int at = 0; at < 20; at++) {
                writer.create().forPath("/cache/a/" + at, bytes("x"));
            }
            writer.setData().forPath("/cache/a/7", bytes("2"));
            writer.delete().forPath("/cache/a/8");
            Check.until("each change", () -> events.contains("deleted /cache/a/8")
                && events.contains("changed /cache/a/7 2") && events.contains("created /cache/a/19")
                && cache.size() == 21);
            writer.delete().deletingChildrenIfNeeded().forPath("/cache");
            Check.until("an empty cache", () -> cache.size() == 0);
            cache.close();
        }
    }

    private static void nodeCache() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework writer = connections.connect();
            NodeCache cache = new NodeCache(connections.connect(), "/node-cache");
            cache.start(true);
            Check.equal(null, cache.getCurrentData());
            writer.create().forPath("/node-cache", bytes("1"));
            Check.until("the node", () -> cache.getCurrentData() != null);
            for (int at = 2; at <= 20; at++) {
                writer.setData().forPath("/node-cache", bytes(Integer.toString(at)));
            }
            Check.until("the last change", () -> text(cache.getCurrentData().getData()).equals("20"));
            writer.delete().forPath("/node-cache");
            Check.until("the deletion", () -> cache.getCurrentData() == null);
            cache.close();
        }
    }

    private static void pathChildrenCache() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework writer = connections.connect();
            writer.create().creatingParentsIfNeeded().forPath("/children-cache/a", bytes("1"));
            PathChildrenCache cache = new PathChildrenCache(connections.connect(), "/children-cache", true);
            List<String> events = Collections.synchronizedList(new ArrayList<>());
            cache.getListenable().addListener((client, event) -> {
                if (event.getData() != null) {
                    events.add(event.getType() + " " + event.getData().getPath());
                }
            });
            cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
            Check.equal("1", text(cache.getCurrentData("/children-cache/a").getData()));
            writer.create().withMode(CreateMode.EPHEMERAL).forPath("/children-cache/b", bytes("b"));
            Check.until("a new child", () -> events.contains("CHILD_ADDED /children-cache/b"));
            writer.setData().forPath("/children-cache/a", bytes("2"));
            Check.until("the changed child", () -> events.contains("CHILD_UPDATED /children-cache/a"));
            writer.close();
            Check.until("the ephemeral to go", () -> events.contains("CHILD_REMOVED /children-cache/b"));
            Check.equal(1, cache.getCurrentData().size());
            cache.close();
        }
    }

    private static void treeCache() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework writer = connections.connect();
            writer.create().creatingParentsIfNeeded().forPath("/tree-cache/a/b", bytes("1"));
            TreeCache cache = new TreeCache(connections.connect(), "/tree-cache");
            List<String> events = Collections.synchronizedList(new ArrayList<>());
            cache.getListenable().addListener((client, event) -> {
                ChildData data = event.getData();
                events.add(event.getType() + (data == null ? "" : " " + data.getPath()));
            });
            cache.start();
            Check.until("the cache to be filled", () -> events.contains("INITIALIZED"));
            Check.equal("1", text(cache.getCurrentData("/tree-cache/a/b").getData()));
            writer.create().forPath("/tree-cache/a/b/c");
            writer.setData().forPath("/tree-cache/a", bytes("2"));
            Check.until("both changes", () -> events.contains("NODE_ADDED /tree-cache/a/b/c")
                && events.contains("NODE_UPDATED /tree-cache/a"));
            writer.delete().deletingChildrenIfNeeded().forPath("/tree-cache/a");
            Check.until("the deletions", () -> events.contains("NODE_REMOVED /tree-cache/a")
                && events.contains("NODE_REMOVED /tree-cache/a/b/c"));
            Check.equal(Map.of(), cache.getCurrentChildren("/tree-cache"));
            cache.close();
        }
    }

    private static void sharedCount() throws Exception {
        try (Connections connections = new Connections(server)) {
            SharedCount ours = new SharedCount(connections.connect(), "/count", 7);
            SharedCount theirs = new SharedCount(connections.connect(), "/count", 7);
            List<Integer> seen = Collections.synchronizedList(new ArrayList<>());
            theirs.addListener(new SharedCountListener() {
                @Override
                public void countHasChanged(SharedCountReader reader, int count) {
                    seen.add(count);
                }

                @Override
                public void stateChanged(CuratorFramework client, ConnectionState state) {}
            });
            ours.start();
            theirs.start();
            Check.equal(7, theirs.getCount());
            ours.setCount(8);
            Check.until("the new count", () -> seen.contains(8));
            VersionedValue<Integer> old = ours.getVersionedValue();
            Check.until("the version of the other", () -> theirs.getVersionedValue().getVersion() == old.getVersion());
            Check.that(theirs.trySetCount(theirs.getVersionedValue(), 9), "refused with the newest version");
            Check.that(!ours.trySetCount(old, 10), "taken with an old version");
            Check.until("the count of the other", () -> ours.getCount() == 9);
            ours.close();
            theirs.close();
        }
    }

    private static void atomicLong() throws Exception {
        try (Connections connections = new Connections(server)) {
            Check.Threads threads = new Check.Threads();
            for (int at = 0; at < 3; at++) {
                DistributedAtomicLong value =
                    new DistributedAtomicLong(connections.connect(), "/atomic", new RetryNTimes(1000, 1));
                threads.start(() -> {
                    for (int turn = 0; turn < 20; turn++) {
                        AtomicValue<Long> result = value.increment();
                        Check.that(result.succeeded(), "an increment without success");
                        Check.equal(result.preValue() + 1, result.postValue());
                    }
                });
            }
            threads.join();
            Check.equal(60L, new DistributedAtomicLong(connections.connect(), "/atomic", new RetryNTimes(1, 1))
                .get().postValue());
        }
    }

    private static void members() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework onlooker = connections.connect();
            PersistentNode node =
                new PersistentNode(connections.connect(), CreateMode.EPHEMERAL, false, "/kept", bytes("k"));
            node.start();
            Check.that(node.waitForInitialCreate(Connections.BOUND_SECONDS, SECONDS), "not created");
            long first = onlooker.checkExists().forPath("/kept").getCzxid();
            onlooker.delete().forPath("/kept");
            Check.until("the node to be there again", () -> {
                var stat = onlooker.checkExists().forPath("/kept");
                return stat != null && stat.getCzxid() > first;
            });
            node.close();
            GroupMember one = new GroupMember(connections.connect(), "/group", "one", bytes("1"));
            GroupMember two = new GroupMember(connections.connect(), "/group", "two", bytes("2"));
            one.start();
            two.start();
            Check.until("both members", () -> one.getCurrentMembers().keySet().equals(java.util.Set.of("one", "two")));
            Check.equal("2", text(one.getCurrentMembers().get("two")));
            two.close();
            Check.until("one member", () -> one.getCurrentMembers().size() == 1);
            one.close();
        }
    }

    private static ServiceDiscovery<String> discovery(CuratorFramework client) throws Exception {
        ServiceDiscovery<String> discovery =
            ServiceDiscoveryBuilder.builder(String.class).client(client).basePath("/services").build();
        discovery.start();
        return discovery;
    }

    private static ServiceInstance<String> instance(int port) throws Exception {
        return ServiceInstance.<String>builder().name("greeter").address("127.0.0.1").port(port).payload("p" + port).build();
    }

    private static void discovery() throws Exception {
        try (Connections connections = new Connections(server)) {
            CuratorFramework providing = connections.connect();
            ServiceDiscovery<String> provider = discovery(providing);
            ServiceInstance<String> first = instance(1001);
            provider.registerService(first);
            provider.registerService(instance(1002));
            ServiceDiscovery<String> consumer = discovery(connections.connect());
            ServiceProvider<String> chooser = consumer.serviceProviderBuilder().serviceName("greeter")
                .providerStrategy(new RoundRobinStrategy<>()).build();
            chooser.start();
            ServiceCache<String> cache = consumer.serviceCacheBuilder().name("greeter").build();
            cache.start();
            Check.equal(List.of("greeter"), List.copyOf(consumer.queryForNames()));
            Check.until("both instances", () -> cache.getInstances().size() == 2);
            Check.until("round robin over both", () -> {
                var chosen = List.of(chooser.getInstance().getPort(), chooser.getInstance().getPort());
                return chosen.stream().sorted().collect(Collectors.toList()).equals(List.of(1001, 1002));
            });
            provider.unregisterService(first);
            Check.until("one instance", () -> cache.getInstances().size() == 1);
            Check.equal("p1002", cache.getInstances().get(0).getPayload());
            // A provider that goes takes its instances with it.
            provider.close();
            Check.until("no instance", () -> cache.getInstances().isEmpty());
            chooser.close();
            cache.close();
            consumer.close();
        }
    }
}
