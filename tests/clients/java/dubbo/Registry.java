import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Set;
import java.util.TreeSet;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcException;

/**
 * Dubbo with ZooKeeper as its registry: one process provides a service, another one finds and calls it.
 *
 * <p>`Registry HOST:PORT provide NAME PORT` serves until its standard input ends. `Registry HOST:PORT consume` reads lines
 * with the names of providers, and says `ok LINE` as soon as its calls reach all of these and no other.
 */
public final class Registry {
    /** What is provided. */
    public interface Greeter {
        String greet(String name);
    }

    /** An answer of this many calls in a row from the expected providers only counts as settled. */
    private static final int CALLS = 20;

    public static void main(String[] arguments) throws Exception {
        ApplicationConfig application = new ApplicationConfig("ringkeeper-" + arguments[1]);
        application.setQosEnable(false);
        RegistryConfig registry = new RegistryConfig("zookeeper://" + arguments[0]);
        DubboBootstrap bootstrap = DubboBootstrap.getInstance().application(application).registry(registry);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        if (arguments[1].equals("provide")) {
            provide(bootstrap, arguments[2], Integer.parseInt(arguments[3]), input);
        } else {
            consume(bootstrap, input);
        }
        bootstrap.stop();
        System.exit(0);
    }

    private static void provide(DubboBootstrap bootstrap, String name, int port, BufferedReader input) throws Exception {
        ProtocolConfig protocol = new ProtocolConfig("dubbo", port);
        ServiceConfig<Greeter> service = new ServiceConfig<>();
        service.setInterface(Greeter.class);
        service.setRef(caller -> name + " greets " + caller);
        bootstrap.protocol(protocol).service(service).start();
        System.out.println("provides " + name);
        while (input.readLine() != null) {
            continue;
        }
    }

    private static void consume(DubboBootstrap bootstrap, BufferedReader input) throws Exception {
        ReferenceConfig<Greeter> reference = new ReferenceConfig<>();
        reference.setInterface(Greeter.class);
        reference.setCheck(false);
        reference.setTimeout(5000);
        reference.setLoadbalance("roundrobin");
        bootstrap.reference(reference).start();
        Greeter greeter = reference.get();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Set<String> expected = new TreeSet<>(Set.of(line.split(" ")));
            Check.until("calls to reach " + expected, () -> expected.equals(answering(greeter)));
            System.out.println("ok " + line);
        }
    }

    private static Set<String> answering(Greeter greeter) {
        Set<String> names = new TreeSet<>();
        for (int call = 0; call < CALLS; call++) {
            try {
                String answer = greeter.greet("me");
                Check.that(answer.endsWith(" greets me"), answer);
                names.add(answer.split(" ")[0]);
            } catch (RpcException nobodyThere) {
                names.add("-");
            }
        }
        return names;
    }
}
