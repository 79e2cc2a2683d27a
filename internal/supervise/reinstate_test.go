package supervise

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// These tests are about a restart that is given up when no live worker is left: old
// ones that were not told to go yet are live again.

// patient is two workers and one attempt. With anHour old workers stay for an hour.
var patient = Config{Workers: 2, Attempts: 1}

func anHour(w *world) { w.settings.KillOldDelay = time.Hour }

// crash ends the live workers and their successors until another generation is started,
// and then ends that, too.
func (w *world) crash() {
	for last := w.generation; w.generation == last; w.sleep(100 * time.Millisecond) {
		for _, p := range w.alive() {
			if p.id.Generation == w.liveGen {
				w.exit(p, 9)
			}
		}
	}
	for _, p := range w.alive() {
		if p.id.Generation == w.generation {
			w.exit(p, broken)
		}
	}
}

// went starts generations until so many were live.
func (w *world) went(generations int) {
	for range generations - 1 {
		w.sleep(2 * time.Second)
		w.restart()
	}
	w.sleep(2 * time.Second)
}

func TestOldWorkersAreLiveAgain(t *testing.T) {
	simulate(t, patient, anHour, func(w *world) {
		w.went(2)
		w.crash()
		assert.True(t, seen[GaveUp](w)[0].Serving)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
		s := w.status()
		assert.Equal(t, PhaseServing, s.Phase)
		assert.Equal(t, 1, s.Generation)
		assert.Equal(t, StateLive, s.Workers[0].State)
		assert.True(t, s.Failure.GivenUp)
		w.sleep(2 * time.Hour)
		assert.Empty(t, w.worker(1, 0).signals, "they are not old any more")

		w.restart()
		w.sleep(time.Second)
		assert.Equal(t, []Worker{w.worker(1, 0).id, w.worker(1, 1).id}, seen[WentLive](w)[2].Old, "but by a later success")
	})
}

func TestEmptySlotsOfWhatIsLiveAgainAreRefilled(t *testing.T) {
	simulate(t, patient, anHour, func(w *world) {
		w.went(2)
		w.exit(w.worker(1, 1), fine)
		w.crash()
		assert.Equal(t, []string{"1.0"}, w.served())
		assert.Equal(t, PhaseRefilling, w.status().Phase)
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
		w.sleep(time.Second)
		assert.Equal(t, PhaseServing, w.status().Phase)
	})
}

func TestTheNewestInEachSlotIsLiveAgain(t *testing.T) {
	simulate(t, patient, anHour, func(w *world) {
		w.went(3)
		w.exit(w.worker(2, 1), fine)
		w.crash()
		s := w.status()
		assert.Equal(t, 2, s.Generation)
		assert.Equal(t, []WorkerState{StateDraining, StateLive, StateLive}, []WorkerState{s.Workers[0].State, s.Workers[1].State, s.Workers[2].State})
		assert.Equal(t, told, w.worker(1, 0).signals, "generation 2 has its slot")
		assert.Empty(t, w.worker(1, 1).signals)
		assert.Empty(t, w.worker(2, 0).signals)
	})
}

func TestAnOlderDuplicateGoesWhenTheOthersAreWhole(t *testing.T) {
	simulate(t, Config{Workers: 3, Attempts: 1}, anHour, func(w *world) {
		w.went(3)
		w.exit(w.worker(1, 2), fine)
		w.exit(w.worker(2, 2), fine)
		w.crash()
		assert.Empty(t, w.worker(1, 0).signals, "slot 2 is empty")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1", "2.0", "2.1", "2.2"}, w.lives())
		assert.Empty(t, w.worker(1, 0).signals, "its refill is not proven")
		w.sleep(time.Second)
		assert.Equal(t, told, w.worker(1, 0).signals)
		assert.Equal(t, told, w.worker(1, 1).signals)
		assert.Empty(t, w.worker(2, 0).signals)
	})
}

func TestWorkersInExcessAreNotLiveAgain(t *testing.T) {
	simulate(t, Config{Workers: 3, Attempts: 1}, anHour, func(w *world) {
		w.went(2)
		w.resize(-1)
		w.crash()
		assert.Equal(t, PhaseDraining, w.status().Phase)
		assert.Equal(t, told, w.worker(1, 2).signals, "there are to be two")
		assert.Empty(t, w.worker(1, 1).signals)
	})
}

func TestWorkersThatWereToldToGoAreNotLiveAgain(t *testing.T) {
	simulate(t, patient, nil, func(w *world) {
		w.went(2)
		w.crash()
		assert.False(t, seen[GaveUp](w)[0].Serving)
		assert.Equal(t, []os.Signal{retireSignal, abortSignal}, w.worker(1, 0).signals, "so everything ends")
	})
}

func TestBesideTheNewestIsLiveAgainAndTheOthersStay(t *testing.T) {
	simulate(t, Config{Attempts: 1, Replace: Beside}, nil, func(w *world) {
		w.went(3)
		w.crash()
		assert.Equal(t, 2, w.status().Generation)
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0", "2.0"}, w.served())
		assert.Empty(t, w.worker(1, 0).signals)
		assert.Empty(t, w.worker(2, 0).signals)
		w.exit(w.worker(2, 0), 9)
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"1.0", "5.0"}, w.served(), "it is the live one that is replaced")
	})
}

func TestRollingWhatIsLiveAgainIsReplacedSlotBySlot(t *testing.T) {
	c := patient
	c.Replace = Rolling(1)
	simulate(t, c, anHour, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second) // 2.0 has taken over, and 1.0 waits
		w.exit(w.worker(2, 0), 9)
		w.exit(w.worker(1, 1), 9)
		for _, p := range w.alive() {
			if p.id.Generation == 2 {
				w.exit(p, broken)
			}
		}
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		assert.Equal(t, 1, w.status().Generation)
		w.restart()
		assert.Equal(t, []string{"1.0", "1.1", "3.0"}, w.lives())
	})
}
