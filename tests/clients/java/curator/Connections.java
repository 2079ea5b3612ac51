import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryNTimes;

/** Sessions of a check, all closed in its end. */
final class Connections implements AutoCloseable {
    static final long BOUND_SECONDS = 60;

    private final String server;
    private final List<CuratorFramework> clients = new ArrayList<>();

    Connections(String server) {
        this.server = server;
    }

    CuratorFramework connect() throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
            .connectString(server)
            .sessionTimeoutMs(10_000)
            .connectionTimeoutMs(10_000)
            .retryPolicy(new RetryNTimes(10, 100))
            .build();
        client.start();
        clients.add(client);
        Check.that(client.blockUntilConnected((int) BOUND_SECONDS, TimeUnit.SECONDS), "no connection to " + server);
        return client;
    }

    @Override
    public void close() {
        // The newest first: nobody's recipe outlives its session.
        for (int at = clients.size() - 1; at >= 0; at--) {
            clients.get(at).close();
        }
    }
}
