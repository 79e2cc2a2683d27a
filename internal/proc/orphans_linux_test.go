package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// orphans are enough that many end between two looks of the reaper.
const orphans = 200

// beReaper adopts orphans that end at the same time as its own children, and says what
// has become of all.
func beReaper() {
	adopted, err := AdoptOrphans(true, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer adopted.Stop()
	gate, opener, _ := os.Pipe()
	// Their parent ends before they can.
	mother, err := Start(Command{Args: []string{"/bin/sh", "-c",
		fmt.Sprintf("i=0; while [ $i -lt %d ]; do { read x; } <&3 & i=$((i+1)); done", orphans)}, Files: []int{-1, 1, 2, int(gate.Fd())}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mother.Wait()
	before := len(childrenOf())
	wrong := make(chan int)
	children := 0
	start := func(i int, name string) {
		code := i%200 + 1
		p, err := Start(Command{Args: []string{"/bin/sh", "-c", "exit " + strconv.Itoa(code)}, Files: []int{-1, 1, 2}, PidVariables: named(name)})
		if err != nil {
			fmt.Println(err)
			return
		}
		children++
		go func() {
			if p.Wait() != code<<8 {
				wrong <- 1
			}
			wrong <- 0
		}()
	}
	for i := range 20 {
		start(i, "")
	}
	opener.Close()
	for i := range 50 {
		start(i, []string{"", "OWN_PID"}[i%2])
		if i%10 == 0 { // and those that fail, which Start waits for itself
			_, err := Start(prepared("/bin/cat", strings.Repeat("x", 256<<10)))
			if err == nil {
				fmt.Println("an argument that is too long was taken")
			}
		}
	}
	stolen := 0
	for children > 0 {
		if n := <-wrong; n > 0 {
			stolen += n
		} else {
			children--
		}
	}
	left := -1
	deadline := time.Now().Add(patience)
	for left != 0 && time.Now().Before(deadline) {
		left = len(childrenOf())
		<-time.After(5 * time.Millisecond) // without a pause this loop takes the CPU time of those that must end
	}
	var used, later unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	<-time.After(200 * time.Millisecond)
	_ = unix.Getrusage(unix.RUSAGE_SELF, &later)
	idle := time.Duration(later.Utime.Nano() + later.Stime.Nano() - used.Utime.Nano() - used.Stime.Nano())
	fmt.Printf("orphans %v, stolen %d, left %d, idle %v\n", before == orphans, stolen, left, idle < 50*time.Millisecond)
}

// childrenOf are the pids of our children, zombies among them.
func childrenOf() []string {
	var pids []string
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, path := range tasks {
		text, _ := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

func TestManyOrphansEndAtOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts hundreds of processes")
	}
	out, _ := output(t, asRole(t, "reaper"))
	assert.Equal(t, "orphans true, stolen 0, left 0, idle true", out)
}
