package demo

import (
	"encoding/json"
	"time"
)

// teller tells the story, to a person or to a program.
type teller interface {
	title(text string)
	begin(doing string)                           // a step begins
	end(step, done string, took time.Duration)    // it went well
	failed()                                      // it did not; the error is told by whoever called Run
	holdings(machines []*machine, held []holding) // who holds what
	ring(drawing string, machines []*machine)     // the ring as a living node sees it
	summary(r Report)                             // all went well
	kept(dir string, machines []*machine)         // everything was left in place
}

func newTeller(o Options) teller {
	if o.JSON {
		return jsonTeller{json.NewEncoder(o.Out)}
	}
	return &textTeller{out: o.Out, live: o.Live, color: o.Color}
}

// jsonTeller writes a JSON object a line. Writing to a reader that has gone is
// not worth failing for: the daemons have to be ended all the same.
type jsonTeller struct{ enc *json.Encoder }

func (t jsonTeller) write(v any) { _ = t.enc.Encode(v) }

type statusLine struct {
	Type    string  `json:"type"`
	Step    string  `json:"step"`
	Message string  `json:"message"`
	Seconds float64 `json:"seconds"`
}

type itemLine struct {
	Type  string   `json:"type"`
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	Want  int      `json:"want"`
	Nodes []string `json:"nodes"`
}

type summaryLine struct {
	Type   string `json:"type"`
	Schema string `json:"schema"`
	OK     bool   `json:"ok"`
	Report
}

func (t jsonTeller) title(text string) {
	t.write(statusLine{Type: "status", Step: "begin", Message: text})
}
func (jsonTeller) begin(string) {}
func (jsonTeller) failed()      {}

func (t jsonTeller) end(step, done string, took time.Duration) {
	t.write(statusLine{Type: "status", Step: step, Message: done, Seconds: took.Seconds()})
}

func (t jsonTeller) holdings(_ []*machine, held []holding) {
	for _, h := range held {
		t.write(itemLine{Type: "item", Name: h.file.name, Size: h.file.size, Want: h.want, Nodes: h.nodes})
	}
}

func (t jsonTeller) ring(string, []*machine) {}

func (t jsonTeller) summary(r Report) {
	t.write(summaryLine{Type: "summary", Schema: "dhtfs.demo/v1", OK: true, Report: r})
}

func (t jsonTeller) kept(dir string, machines []*machine) {
	homes := map[string]string{}
	for _, m := range machines {
		homes[m.label] = m.home
	}
	t.write(struct {
		Type  string            `json:"type"`
		Step  string            `json:"step"`
		Dir   string            `json:"dir"`
		Homes map[string]string `json:"homes"`
	}{"status", "kept", dir, homes})
}
