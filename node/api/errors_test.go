package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// Every sentinel comes out of the API as an error that errors.Is knows.
func TestErrorsCrossTheAPI(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.id+"/"+k.err.Error(), func(t *testing.T) {
			sent := Describe(fmt.Errorf("store %q: %w", "x", k.err))
			raw, err := json.Marshal(sent)
			require.NoError(t, err)
			got := new(Error)
			require.NoError(t, json.Unmarshal(raw, got))
			assert.Equal(t, k.id, got.ID)
			assert.Equal(t, k.code, got.Code)
			assert.Equal(t, k.status, got.status())
			first := got.Unwrap()
			assert.Equal(t, k.id, Describe(first).ID)
			if errors.Is(first, k.err) { // not one that shares its identifier with another
				require.ErrorIs(t, got, k.err)
				assert.Contains(t, got.Message, k.err.Error())
			}
		})
	}
}

func TestIdentifiersAreOfOneCode(t *testing.T) {
	codes := make(map[string]int)
	for _, k := range kinds {
		if code, seen := codes[k.id]; seen {
			assert.Equal(t, code, k.code, k.id)
		}
		codes[k.id] = k.code
		assert.NotNil(t, k.err)
		assert.GreaterOrEqual(t, k.status, 400)
	}
}

func TestDescribe(t *testing.T) {
	deadline := Describe(&node.OpError{Op: "stat", Err: context.DeadlineExceeded})
	assert.Equal(t, ExitUnreachable, deadline.Code)
	assert.NotContains(t, deadline.Message, "context")

	unknown := Describe(errors.New("something else"))
	assert.Equal(t, "internal", unknown.ID)
	assert.Equal(t, ExitError, unknown.Code)

	again := Describe(fmt.Errorf("again: %w", &Error{Code: 5, ID: "exists", Message: "there", Hint: "h", Existing: &File{Name: "x"}}))
	assert.Equal(t, "again: there", again.Message)
	assert.Equal(t, "h", again.Hint)
	assert.Equal(t, "x", again.Existing.Name)
	require.ErrorIs(t, again, node.ErrExists)

	joined := Describe(fmt.Errorf("fetch: %w: %w", node.ErrUnavailable, errors.Join(
		errors.New("dial tcp 127.0.0.1:7: connect: connection refused"), errors.New("dial tcp [::1]:7: i/o timeout"))))
	assert.Equal(t, "unavailable", joined.ID)
	assert.Equal(t, "fetch: "+node.ErrUnavailable.Error()+": 127.0.0.1:7: connection refused; [::1]:7: i/o timeout", joined.Message)
	for _, err := range []error{&Error{ID: "exists", Message: "a\nb"}, errors.New("a\nb")} {
		assert.Equal(t, "a; b", Describe(err).Message)
	}

	space := Describe(&node.OpError{Op: "store", Name: "x", Err: &filestore.SpaceError{Needed: 10, Free: 3}})
	assert.Equal(t, ExitNoSpace, space.Code)
	assert.Contains(t, space.Message, "10")
}
