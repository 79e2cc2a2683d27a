package starter

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fill gives every field below v a value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(7, 0)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(7)
	}
}

// empty are the fields below v that have no value.
func empty(v reflect.Value, name string) (names []string) {
	switch {
	case v.IsZero():
		return []string{name}
	case v.Kind() == reflect.Pointer:
		return empty(v.Elem(), name)
	case v.Kind() == reflect.Slice:
		return empty(v.Index(0), name)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			names = append(names, empty(v.Field(i), name+"."+v.Type().Field(i).Name)...)
		}
	}
	return names
}

func TestStatusHasAllThatTheControlSocketTells(t *testing.T) {
	t.Parallel()
	var told control.Status
	fill(reflect.ValueOf(&told).Elem())
	status := statusOf(told)
	assert.Empty(t, empty(reflect.ValueOf(status), "Status"))
	assert.Equal(t, 1500*time.Millisecond, status.Workers[0].Age)
	assert.Equal(t, 1500*time.Millisecond, status.Workers[0].ReadyAfter)

	for _, pair := range [][2]reflect.Type{
		{reflect.TypeFor[control.Status](), reflect.TypeFor[Status]()},
		{reflect.TypeFor[control.Worker](), reflect.TypeFor[WorkerStatus]()},
		{reflect.TypeFor[control.Exit](), reflect.TypeFor[WorkerExit]()},
		{reflect.TypeFor[control.Socket](), reflect.TypeFor[SocketStatus]()},
		{reflect.TypeFor[control.Failure](), reflect.TypeFor[FailureStatus]()},
	} {
		for _, field := range reflect.VisibleFields(pair[0]) {
			if _, there := pair[1].FieldByName(field.Name); !field.Anonymous {
				assert.True(t, there, "%s has no %s", pair[1], field.Name)
			}
		}
	}
	assert.Empty(t, statusOf(control.Status{}).Workers, "what is not there is no fault")
}

func TestAFailureIsFoundInAnError(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such file")
	why := &supervise.Failure{}
	fill(reflect.ValueOf(&why.Worker).Elem())
	why.Status, why.Lived, why.Said, why.Late, why.Last, why.Err = 1<<8, time.Second, "x", true, true, cause
	why.Probe, why.Unfit, why.RolledBack, why.Share, why.Given = "y", true, "z", 525, 3
	err := withFailure(fmt.Errorf("restart: %w", why))
	assert.EqualError(t, err, "restart: "+why.Error())
	var found *Failure
	require.ErrorAs(t, err, &found)
	assert.Empty(t, empty(reflect.ValueOf(*found), "Failure"))
	assert.Equal(t, why, found.internal())
	assert.Equal(t, why.Error(), found.Error())
	assert.Equal(t, why.ExitCode(), found.ExitCode())
	assert.ErrorIs(t, err, cause)
	assert.ErrorIs(t, found, cause)

	assert.False(t, errors.As(withFailure(cause), &found))
	assert.NoError(t, withFailure(nil))
}
