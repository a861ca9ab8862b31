package peers

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/memlab-go/memlab/bench/replay"
)

// TestMain lets the test binary be its own measuring process.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		if err := Child(os.Stdout, os.Args[2], os.Args[3:]); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Every peer behind Go's interface must satisfy the oracle, or its figures mean
// nothing.
func TestGoPeersAreValid(t *testing.T) {
	tr, err := OpenTrace("git-log")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range goPeers() {
		if err := replay.Verify(tr, *p.Go, replay.Config{}); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestRoundsMeasureEveryPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process for every figure")
	}
	r := Rounds{Peers: Known(), Traces: []string{"git-log"}, Rounds: 1, Reps: 1, Quick: true, threaded: 200_000}
	f, err := r.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range Measures() {
		for _, p := range r.Peers {
			trace := ""
			if strings.Contains(m, "util") || strings.Contains(m, "op") {
				trace = "git-log"
			}
			v, ok := f[m][trace][p.Name]
			threads := strings.HasPrefix(m, "lar") || strings.HasPrefix(m, "handover")
			if threads && p.Go != nil && p.Shared == nil {
				continue
			}
			if !ok || v <= 0 {
				t.Errorf("%s of %s is %v", m, p.Name, v)
			}
			if strings.HasSuffix(m, "util") && v > 1.02 {
				t.Errorf("%s of %s is %v, more than everything", m, p.Name, v)
			}
		}
	}
}

func TestMisuseOfOurHeapsIsReported(t *testing.T) {
	r := Rounds{Peers: Known()}
	got, err := r.Misuse(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range MisuseKinds() {
		for _, name := range []string{"segregated", "shared", "handle"} {
			if got[kind][name] != "reported" {
				t.Errorf("%s free on %s: %q", kind, name, got[kind][name])
			}
		}
	}
}

// Both sides must ask for the same sizes, or they are not the same workload.
func TestGeneratorIsThatOfTheCReplayer(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	var sum int
	r := rng(1)
	for range 10000 {
		sum += r.mixed()
	}
	src := strings.Replace(string(creplay), "int main(", "int other_main(", 1) +
		"\nint main(void){uint64_t s=1;long sum=0;for(int i=0;i<10000;i++)sum+=mixed(&s);printf(\"%ld\",sum);return 0;}\n"
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/g.c", []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-w", "-pthread", "-o", dir+"/g", dir+"/g.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(dir + "/g").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out); got != itoa(sum) {
		t.Errorf("C sums to %s, Go to %d", got, sum)
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
