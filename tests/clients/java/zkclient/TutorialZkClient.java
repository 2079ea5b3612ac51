import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.I0Itec.zkclient.IZkDataListener;
import org.I0Itec.zkclient.IZkStateListener;
import org.I0Itec.zkclient.ZkClient;
import org.I0Itec.zkclient.exception.ZkNoNodeException;
import org.I0Itec.zkclient.exception.ZkNodeExistsException;
import org.I0Itec.zkclient.serialize.SerializableSerializer;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.KeeperState;

/**
 * What the tutorials show with ZkClient 0.10 (over the client of ZooKeeper 3.4): create, read, subscribe, write, delete,
 * exists. `TutorialZkClient HOST:PORT`
 */
public final class TutorialZkClient {
    private static String server;

    public static void main(String[] arguments) {
        server = arguments[0];
        Check.run("a node's life", TutorialZkClient::life);
        Check.run("children, kinds of nodes, recursion", TutorialZkClient::children);
    }

    private static ZkClient connect() {
        ZkClient client = new ZkClient(server, 10_000, 30_000);
        client.setZkSerializer(new SerializableSerializer());
        return client;
    }

    private static final class Listener implements IZkDataListener {
        final List<String> heard = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void handleDataChange(String path, Object data) {
            heard.add(path + " became " + data);
        }

        @Override
        public void handleDataDeleted(String path) {
            heard.add(path + " was deleted");
        }
    }

    private static void life() throws Exception {
        ZkClient client = connect();
        Check.equal("/mylog", client.create("/mylog", "first log", CreateMode.PERSISTENT));
        Check.equal("first log", client.readData("/mylog"));
        Check.raises(ZkNodeExistsException.class, () -> client.createPersistent("/mylog"));
        Listener listener = new Listener();
        client.subscribeDataChanges("/mylog", listener);
        client.writeData("/mylog", "second log");
        Check.equal("second log", client.readData("/mylog"));
        Check.until("the change", () -> listener.heard.contains("/mylog became second log"));
        Check.that(client.delete("/mylog"), "not deleted");
        Check.until("the deletion", () -> listener.heard.contains("/mylog was deleted"));
        Check.that(!client.exists("/mylog"), "the node is still there");
        Check.equal(null, client.readData("/mylog", true));
        Check.raises(ZkNoNodeException.class, () -> client.readData("/mylog"));
        Check.that(!client.delete("/mylog"), "deleted twice");
        client.close();
    }

    private static void children() throws Exception {
        ZkClient client = connect();
        ZkClient other = connect();
        List<KeeperState> states = Collections.synchronizedList(new ArrayList<>());
        client.subscribeStateChanges(new IZkStateListener() {
            @Override
            public void handleStateChanged(KeeperState state) {
                states.add(state);
            }

            @Override
            public void handleNewSession() {}

            @Override
            public void handleSessionEstablishmentError(Throwable error) {}
        });
        List<List<String>> heard = Collections.synchronizedList(new ArrayList<>());
        client.createPersistent("/parents/of", true);
        client.subscribeChildChanges("/parents", (parent, names) -> heard.add(names == null ? null : List.copyOf(names)));
        other.createEphemeral("/parents/gone", "e");
        Check.until("the new child", () -> heard.stream().anyMatch(names -> names != null && names.size() == 2));
        Check.equal("/parents/s-0000000002", other.createPersistentSequential("/parents/s-", "s"));
        Check.equal("/parents/s-0000000003", other.createEphemeralSequential("/parents/s-", "s"));
        Check.equal(4, client.countChildren("/parents"));
        other.close();
        Check.until("the ephemerals to go", () -> client.getChildren("/parents").size() == 2);
        Check.until("the event of it", () -> {
            List<String> last = heard.get(heard.size() - 1);
            return last != null && last.size() == 2 && last.contains("s-0000000002");
        });
        client.updateDataSerialized("/parents/s-0000000002", data -> data + "!");
        Check.equal("s!", client.readData("/parents/s-0000000002"));
        Check.that(client.getCreationTime("/parents") > 0, "no creation time");
        Check.that(client.deleteRecursive("/parents"), "not deleted");
        Check.that(!client.exists("/parents"), "the node is still there");
        Check.equal(List.of(), List.copyOf(states));
        client.close();
    }
}
