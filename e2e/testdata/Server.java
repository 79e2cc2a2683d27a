import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Serves HTTP on the listening socket at descriptor 0, which is all that Java can inherit. */
public class Server {
    static volatile boolean draining;

    public static void main(String[] args) throws Exception {
        if (!(System.inheritedChannel() instanceof ServerSocketChannel listener)) {
            throw new IOException("descriptor 0 is not a listening socket");
        }
        ExecutorService connections = Executors.newCachedThreadPool();
        Thread accepting = new Thread(() -> {
            try {
                while (true) {
                    SocketChannel connection = listener.accept();
                    connections.execute(() -> serve(connection));
                }
            } catch (AsynchronousCloseException told) {
                return;
            } catch (IOException e) {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
        // TERM runs this, and the program ends when it returns.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                draining = true;
                listener.close();
                accepting.join(); // all that was accepted is known by now
                connections.shutdown();
                connections.awaitTermination(30, TimeUnit.SECONDS);
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        accepting.start();
    }

    static void serve(SocketChannel connection) {
        try (connection) {
            BufferedReader in = new BufferedReader(new InputStreamReader(Channels.newInputStream(connection)));
            boolean keepAlive = true;
            while (keepAlive) {
                for (String line = in.readLine(); !line.isEmpty(); line = in.readLine()) {
                    keepAlive &= !line.equalsIgnoreCase("Connection: close");
                }
                keepAlive &= !draining; // the client makes its next connection to the new generation
                String body = "hello from pid " + ProcessHandle.current().pid()
                    + ", generation " + System.getenv("SERVER_STARTER_GENERATION") + "\n";
                String answer = "HTTP/1.1 200 OK\r\nContent-Length: " + body.length()
                    + "\r\nConnection: " + (keepAlive ? "keep-alive" : "close") + "\r\n\r\n" + body;
                connection.write(java.nio.ByteBuffer.wrap(answer.getBytes()));
            }
        } catch (IOException | NullPointerException gone) {
            return; // the client has closed it, between two requests for the most part
        }
    }
}
