package demo;

public final class Hello {
    public static void main(String[] arguments) {
        System.out.println("Hello world! Running on " + System.getProperty("os.arch"));
    }
}
