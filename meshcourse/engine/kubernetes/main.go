// Kubernetes' control plane and kube-proxy in one file, as Kubernetes' own hyperkube had them until 1.18: most of their code is the same, is
// linked once here, and lies once in memory. Each is upstream's own command, and goes by the name that the program is called by. The imports
// are those of k8s.io/kubernetes/cmd/*/*.go.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"time"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// Go lets a heap grow by atWork percent before it collects, and keeps what it once had from Linux: right for a burst of work, waste between
// bursts, which is most of a learner's day. After so many quiet seconds a program collects, gives back what is free, and lets its heap grow
// less, until the first second that is not quiet.
const (
	atWork       = 100 // Go's own
	atRest       = 50
	quietSeconds = 3
	quiet        = 16 << 20 // bytes allocated in a second: kube-apiserver's 2 to 7 MB when left alone, 20 to 440 MB during `istioctl install`
)

func main() {
	name := filepath.Base(os.Args[0])
	var command *cobra.Command
	switch name {
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	case "kube-proxy":
		command = proxy.NewProxyCommand()
	default:
		fmt.Fprintf(os.Stderr, "%s: call me kube-apiserver, kube-controller-manager, kube-scheduler or kube-proxy\n", name)
		os.Exit(2)
	}
	go restBetweenBursts()
	os.Exit(cli.Run(command))
}

func restBetweenBursts() {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var before uint64
	seconds := 0
	for range time.Tick(time.Second) {
		metrics.Read(sample)
		allocated := sample[0].Value.Uint64()
		if allocated-before > quiet {
			seconds = 0
			debug.SetGCPercent(atWork)
		} else if seconds++; seconds == quietSeconds {
			debug.SetGCPercent(atRest)
			debug.FreeOSMemory()
		}
		before = allocated
	}
}
