package api

import (
	"context"
	"net/http"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// MemberChange is what POST /v1/nodes/promote, forget and revoke answer.
type MemberChange struct {
	Schema  string `json:"schema"` // dhtfs.nodes.promote/v1, dhtfs.nodes.forget/v1 or dhtfs.nodes.revoke/v1
	Name    string `json:"name"`
	Machine string `json:"machine"`
	// Of a revoked issuer: those whom it had let in and who stay, and who went with it.
	Kept []Admitted `json:"kept"`
	Out  []Admitted `json:"out"`
}

// Admitted is a member that a revoked issuer had let in.
type Admitted struct {
	Name    string `json:"name"`
	Machine string `json:"machine"`
}

// memberRequest is the body of POST /v1/nodes/promote, forget and revoke.
type memberRequest struct {
	Node         string `json:"node"`                    // name, or beginning of its node ID or machine ID
	Force        bool   `json:"force,omitempty"`         // forget: also a node that answers
	WithAdmitted bool   `json:"with_admitted,omitempty"` // revoke: also those that it let in
}

func (h *Handler) promoteNode(w http.ResponseWriter, r *http.Request) error {
	return h.changeMember(w, r, "promote", func(ctx context.Context, m node.MachineID, _ memberRequest) (trust.Revocation, error) {
		return trust.Revocation{}, h.node.Promote(ctx, m)
	})
}

func (h *Handler) forgetNode(w http.ResponseWriter, r *http.Request) error {
	return h.changeMember(w, r, "forget", func(ctx context.Context, m node.MachineID, q memberRequest) (trust.Revocation, error) {
		return trust.Revocation{}, h.node.Forget(ctx, m, q.Force)
	})
}

func (h *Handler) revokeNode(w http.ResponseWriter, r *http.Request) error {
	return h.changeMember(w, r, "revoke", func(ctx context.Context, m node.MachineID, q memberRequest) (trust.Revocation, error) {
		return h.node.Revoke(ctx, m, q.WithAdmitted)
	})
}

// changeMember finds the member that a request names and does what is asked with it.
func (h *Handler) changeMember(w http.ResponseWriter, r *http.Request, verb string,
	do func(context.Context, node.MachineID, memberRequest) (trust.Revocation, error),
) error {
	var request memberRequest
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	m, err := h.node.Find(request.Node)
	if err != nil {
		return err
	}
	// A caller that goes away does not stop what has begun.
	done, err := do(context.WithoutCancel(r.Context()), m, request)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, memberChangeOf(verb, m, done, h.node.Label))
}

func memberChangeOf(verb string, m node.MachineID, r trust.Revocation, label func(node.MachineID) string) MemberChange {
	return MemberChange{
		Schema: "dhtfs.nodes." + verb + "/v1", Name: label(m), Machine: machine(m),
		Kept: admittedOf(r.Kept, label), Out: admittedOf(r.Out, label),
	}
}

func admittedOf(l []node.MachineID, label func(node.MachineID) string) []Admitted {
	docs := make([]Admitted, 0, len(l))
	for _, m := range l {
		docs = append(docs, Admitted{Name: label(m), Machine: machine(m)})
	}
	return docs
}
