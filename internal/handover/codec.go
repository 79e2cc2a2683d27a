package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"syscall"
	"time"
)

// The state is written as its fields: a name, a length and a value for each that is not
// zero. So an image knows when it is given something that it does not understand. No
// encoder of the standard library is small enough: encoding/json adds 300 KB to the
// program, and cannot keep a path that is not UTF-8.

// clock is one moment twice: on the kernel's monotonic clock, which both images read, and as a
// time.Time, whose monotonic part is this process's own.
type clock struct {
	now       time.Time
	monotonic int64 // nanoseconds (CLOCK_MONOTONIC, clock_gettime(2))
}

func (c clock) encode(t time.Time) int64 { return c.monotonic + int64(t.Sub(c.now)) }

func (c clock) decode(n int64) time.Time { return c.now.Add(time.Duration(n - c.monotonic)) }

var (
	timeType   = reflect.TypeFor[time.Time]()
	signalType = reflect.TypeFor[os.Signal]()
)

// append appends a value of the state.
func (c clock) append(b []byte, v reflect.Value) []byte {
	switch {
	case v.Type() == timeType:
		if t := v.Interface().(time.Time); !t.IsZero() {
			return binary.AppendVarint(b, c.encode(t))
		}
		return b
	case v.Type() == signalType:
		if sig, ok := v.Interface().(syscall.Signal); ok {
			return binary.AppendVarint(b, int64(sig))
		}
		return b
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint8, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.String:
		return append(b, v.String()...)
	case reflect.Pointer:
		return c.append(b, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			b = appendBytes(b, c.append(nil, v.Index(i)))
		}
		return b
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); !field.IsZero() {
				b = appendBytes(b, []byte(v.Type().Field(i).Name))
				b = appendBytes(b, c.append(nil, field))
			}
		}
		return b
	}
	panic(fmt.Sprintf("handover: a %v is no part of a state", v.Type()))
}

// fields calls add with the name of each field that append writes, as in Control.Clients.
func fields(v reflect.Value, in string, add func(name string)) {
	switch {
	case v.Type() == timeType || v.Type() == signalType:
	case v.Kind() == reflect.Pointer:
		fields(v.Elem(), in, add)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			fields(v.Index(i), in, add)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); !field.IsZero() {
				name := in + v.Type().Field(i).Name
				add(name)
				fields(field, name+".", add)
			}
		}
	}
}

// allFields calls add with the name of each field that a value of a type may have.
func allFields(t reflect.Type, in string, add func(name string)) {
	switch {
	case t == timeType || t == signalType:
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		allFields(t.Elem(), in, add)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name := in + t.Field(i).Name
			add(name)
			allFields(t.Field(i).Type, name+".", add)
		}
	}
}

func appendBytes(b, more []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(more))), more...)
}

var errCut = errors.New("it is cut short")

// take is the reverse of appendBytes.
func take(b []byte) (item, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errCut
	}
	b = b[used:]
	return b[:n], b[n:], nil
}

// decodeInto sets v, which is zero, to the value that append has written.
func (c clock) decodeInto(b []byte, v reflect.Value) error {
	switch {
	case v.Type() == timeType:
		if len(b) == 0 {
			return nil
		}
		n, err := varint(b)
		v.Set(reflect.ValueOf(c.decode(n)))
		return err
	case v.Type() == signalType:
		if len(b) == 0 {
			return nil
		}
		n, err := varint(b)
		v.Set(reflect.ValueOf(syscall.Signal(n)))
		return err
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(len(b) == 1 && b[0] == 1)
	case reflect.Int, reflect.Int64:
		n, err := varint(b)
		v.SetInt(n)
		return err
	case reflect.Uint8, reflect.Uint64:
		n, used := binary.Uvarint(b)
		if used != len(b) {
			return errCut
		}
		v.SetUint(n)
	case reflect.String:
		v.SetString(string(b))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return c.decodeInto(b, v.Elem())
	case reflect.Slice:
		var unknown error
		for len(b) > 0 {
			item, rest, err := take(b)
			if err != nil {
				return err
			}
			element := reflect.New(v.Type().Elem()).Elem()
			if err := unlessUnknown(c.decodeInto(item, element), &unknown); err != nil {
				return err
			}
			v.Set(reflect.Append(v, element))
			b = rest
		}
		return unknown
	case reflect.Struct:
		return c.decodeFields(b, v)
	default:
		return fmt.Errorf("a %v is no part of a state", v.Type())
	}
	return nil
}

// errUnknown is a field that this version does not know. All others are decoded, too.
type errUnknown struct{ in, name string }

func (e *errUnknown) Error() string {
	return fmt.Sprintf("%sit has a field %.40q, which this version does not know", e.in, e.name)
}

// unlessUnknown returns err, unless it is an errUnknown. It stores the first of those in first.
func unlessUnknown(err error, first *error) error {
	if unknown := (*errUnknown)(nil); errors.As(err, &unknown) {
		if *first == nil {
			*first = err
		}
		return nil
	}
	return err
}

func (c clock) decodeFields(b []byte, v reflect.Value) error {
	var unknown error
	for len(b) > 0 {
		name, rest, err := take(b)
		if err != nil {
			return err
		}
		value, rest, err := take(rest)
		if err != nil {
			return err
		}
		b = rest
		field := v.FieldByName(string(name))
		if !field.IsValid() {
			_ = unlessUnknown(&errUnknown{"", string(name)}, &unknown)
			continue
		}
		err = c.decodeInto(value, field)
		if e := (*errUnknown)(nil); errors.As(err, &e) {
			err = &errUnknown{fmt.Sprintf("field %s: %s", name, e.in), e.name}
		}
		if err := unlessUnknown(err, &unknown); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
	}
	return unknown
}

func varint(b []byte) (int64, error) {
	n, used := binary.Varint(b)
	if used != len(b) {
		return 0, errCut
	}
	return n, nil
}
