// A worker of a Holdfast site (PROTOCOL.md §16, over HTTP) that repeats what it is asked, by the standard library alone.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

type object = map[string]any

// Frame is what a claim brings: its answer, runs, and news about them.
type Frame struct {
	Type, Session, Run, Message, Reason string
	Result                              struct{ Runs []string }
	Messages                            []struct{ Parts []struct{ Text string } }
}

var (
	url, token = strings.TrimRight(os.Getenv("HOLDFAST_URL"), "/"), os.Getenv("HOLDFAST_TOKEN")
	name       = os.Getenv("WORKER_NAME") // of this process, 8 to 64 characters
	agent      = os.Getenv("AGENT")
	epoch      = time.Now().UnixMilli() // higher in the next process with this name, which fences this one
	client     = http.Client{Timeout: 30 * time.Second}

	lock sync.Mutex
	runs = map[string]chan string{} // by id; takes why it has to stop
)

// ask sends a request until it is answered: all of them are repeatable, with the same body.
func ask(path string, fields object, answer any) error {
	fields["producer"], fields["epoch"] = name, epoch
	for body, _ := json.Marshal(fields); ; time.Sleep(300 * time.Millisecond) {
		request, _ := http.NewRequest("POST", url+path, bytes.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		response, lost := client.Do(request)
		if lost == nil {
			text, cut := io.ReadAll(response.Body)
			response.Body.Close()
			if cut == nil && response.StatusCode == 204 {
				return nil
			} else if cut == nil && response.StatusCode == 200 {
				return json.Unmarshal(text, answer)
			}
			var refusal struct {
				Code, Message string
				Retryable     bool
			}
			if json.Unmarshal(text, &refusal) == nil && refusal.Code != "" && !refusal.Retryable {
				return fmt.Errorf("%s: %s", refusal.Code, refusal.Message)
			}
		}
	}
}

// answer repeats the prompt, one batch a word.
func answer(run Frame, stop chan string) {
	defer func() { lock.Lock(); delete(runs, run.Run); lock.Unlock() }()
	sequence := 0
	publish := func(chunks ...object) error {
		sequence++
		return ask("/api/sessions/"+run.Session+"/publish/", object{
			"message": run.Message, "run": run.Run, "sequence": sequence, "chunks": chunks}, &object{})
	}
	prompt := ""
	for _, part := range run.Messages[len(run.Messages)-1].Parts {
		prompt += part.Text
	}
	err := publish(object{"type": "start", "messageId": run.Message}, object{"type": "start-step"},
		object{"type": "text-start", "id": "t"})
	for _, word := range strings.SplitAfter(prompt, " ") {
		select {
		case reason := <-stop:
			if reason == "cancelled" {
				publish(object{"type": "abort", "reason": "Stopped."})
			}
			return
		case <-time.After(20 * time.Millisecond):
			if err == nil {
				err = publish(object{"type": "text-delta", "id": "t", "delta": word})
			}
		}
	}
	if err == nil {
		err = publish(object{"type": "text-end", "id": "t"}, object{"type": "finish-step"}, object{"type": "finish", "finishReason": "stop"})
	}
	log.Println("ended", run.Run, err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func stopRun(run, reason string) {
	if stop := runs[run]; stop != nil && len(stop) == 0 {
		stop <- reason
	}
}

// claim polls once: it says which runs go on here, and takes new ones and news.
func claim(number int) error {
	lock.Lock()
	held := append([]string{}, slices.Collect(maps.Keys(runs))...)
	lock.Unlock()
	var news struct{ Frames []Frame }
	id := fmt.Sprintf("claim-%d-%d", epoch, number)
	err := ask("/api/work/claim/", object{"id": id, "agents": []string{agent}, "most": 10, "runs": held, "signals": []string{}, "wait_ms": 15000}, &news)
	lock.Lock()
	defer lock.Unlock()
	for _, run := range held { // those that the site doesn't name have ended
		if err == nil && !slices.Contains(news.Frames[0].Result.Runs, run) {
			stopRun(run, "ended")
		}
	}
	for _, frame := range news.Frames {
		if frame.Type == "stop" {
			stopRun(frame.Run, frame.Reason)
		} else if frame.Type == "run" && runs[frame.Run] == nil {
			runs[frame.Run] = make(chan string, 1)
			go answer(frame, runs[frame.Run])
		}
	}
	return err
}

func main() {
	go func() { // the sign of life: at least every third of the site's lease
		for {
			check(ask("/api/beat/", object{}, &object{}))
			time.Sleep(time.Second)
		}
	}()
	for number := 0; ; number++ {
		check(claim(number))
		time.Sleep(20 * time.Millisecond)
	}
}
