// Stand-ins for the Pulumi plugins that only the vendor's host serves: one program that acts by the name it is called by.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// The engine sends whole states in one message.
const maxMessage = 400 << 20

func main() {
	self := filepath.Base(os.Args[0])
	engine := ""
	for _, arg := range os.Args[1:] {
		if _, _, err := net.SplitHostPort(arg); err == nil {
			engine = arg
		}
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	switch self {
	case "pulumi-resource-kubernetes":
		pulumirpc.RegisterResourceProviderServer(server, newKubernetes(newEngine(engine), version()))
	case "pulumi-resource-random":
		pulumirpc.RegisterResourceProviderServer(server, &bridged{kinds: randomKinds, engine: newEngine(engine), version: version()})
	case "pulumi-resource-tls":
		pulumirpc.RegisterResourceProviderServer(server, &bridged{kinds: tlsKinds, engine: newEngine(engine), version: version()})
	case "pulumi-language-nodejs":
		pulumirpc.RegisterLanguageRuntimeServer(server, &nodejs{engine: engine, children: map[*exec.Cmd]bool{}})
	default:
		fmt.Fprintf(os.Stderr, "%s: call this program by the name of a plugin: pulumi-language-nodejs or pulumi-resource-{kubernetes,random,tls}\n", self)
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "no loopback port to listen on:", err)
		os.Exit(1)
	}
	go exitWithParent(os.Getppid())
	// The engine stops a plugin with SIGINT, after the Cancel call, and waits 5 s for it. The terminal's ^C does not arrive here:
	// plugins run in their own process groups.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-ended
		os.Exit(0)
	}()
	// The first line on stdout is how the engine learns the port.
	fmt.Printf("%d\n", listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// exitWithParent ends the plugin if the engine that started it dies.
func exitWithParent(parent int) {
	for os.Getppid() == parent {
		time.Sleep(500 * time.Millisecond)
	}
	os.Exit(0)
}

var pluginFolder = regexp.MustCompile(`/resource-[a-z]+-v([0-9][^/]*)/`)

// version is what GetPluginInfo reports: the plugin folder's, so that the engine gets what it asked for.
func version() string {
	if m := pluginFolder.FindStringSubmatch(os.Args[0]); m != nil {
		return m[1]
	}
	return "0.0.0"
}
