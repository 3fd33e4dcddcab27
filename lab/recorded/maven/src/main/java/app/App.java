package app;

public final class App {
    private App() {}

    public static void main(String[] arguments) {
        System.out.println(System.getProperty("os.arch"));
    }
}
