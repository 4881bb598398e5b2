// Pulumi property values as they travel: plain JSON plus wrappers for secrets and for values not yet known in a preview.
package main

import (
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
)

const (
	signature     = "4dabf18193072939515e22adb298388d"
	secretValue   = "1b47061264138c4ac30d75fd1eb44270"
	unknownString = "04da6b54-80e4-46f7-96ec-b56ff0331ba9" // there are others by type, but SDKs always send this one
)

type (
	object  = map[string]any
	secret  struct{ value any }
	unknown struct{}
)

func fromStruct(s *structpb.Struct) object {
	out := object{}
	for k, v := range s.GetFields() {
		out[k] = fromValue(v)
	}
	return out
}

func fromValue(v *structpb.Value) any {
	switch v := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		if v.StringValue == unknownString {
			return unknown{}
		}
		return v.StringValue
	case *structpb.Value_NumberValue:
		if v.NumberValue == math.Trunc(v.NumberValue) && math.Abs(v.NumberValue) < 1<<53 {
			return int64(v.NumberValue)
		}
		return v.NumberValue
	case *structpb.Value_BoolValue:
		return v.BoolValue
	case *structpb.Value_ListValue:
		out := []any{}
		for _, e := range v.ListValue.GetValues() {
			out = append(out, fromValue(e))
		}
		return out
	case *structpb.Value_StructValue:
		fields := v.StructValue.GetFields()
		if fields[signature].GetStringValue() == secretValue {
			return secret{fromValue(fields["value"])}
		}
		return fromStruct(v.StructValue)
	}
	return nil
}

func toStruct(o object) *structpb.Struct {
	return toValue(o).GetStructValue()
}

func toValue(v any) *structpb.Value {
	switch v := v.(type) {
	case unknown:
		return structpb.NewStringValue(unknownString)
	case secret:
		return toValue(object{signature: secretValue, "value": v.value})
	case []any:
		list := &structpb.ListValue{}
		for _, e := range v {
			list.Values = append(list.Values, toValue(e))
		}
		return structpb.NewListValue(list)
	case object:
		s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for k, e := range v {
			s.Fields[k] = toValue(e)
		}
		return structpb.NewStructValue(s)
	}
	plain, err := structpb.NewValue(v)
	if err != nil {
		panic("a value of no JSON type") // a bug in the stand-in; the value may be a secret, so do not print it
	}
	return plain
}

// mapValue copies v, replacing the parts that replace selects.
func mapValue(v any, replace func(any) (any, bool)) any {
	if r, ok := replace(v); ok {
		return r
	}
	switch v := v.(type) {
	case secret:
		return secret{mapValue(v.value, replace)}
	case object:
		out := object{}
		for k, e := range v {
			out[k] = mapValue(e, replace)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = mapValue(e, replace)
		}
		return out
	}
	return v
}

func copyOf(o object) object {
	return mapValue(o, func(any) (any, bool) { return nil, false }).(object)
}

// reveal copies v without the secret wrappers; unknown parts stay.
func reveal(v any) any {
	return mapValue(v, func(v any) (any, bool) {
		if s, ok := v.(secret); ok {
			return reveal(s.value), true
		}
		return nil, false
	})
}

// revealed reads a message's plain values.
func revealed(s *structpb.Struct) object { return reveal(fromStruct(s)).(object) }

// has tells whether v or any part of it is a T: a secret, or unknown.
func has[T any](v any) bool {
	found := false
	mapValue(v, func(v any) (any, bool) {
		_, is := v.(T)
		found = found || is
		return nil, found
	})
	return found
}

// text reads a string at a path, "" if there is none.
func text(v any, path ...string) string {
	s, _ := at(v, path...).(string)
	return s
}

func at(v any, path ...string) any {
	for _, key := range path {
		o, _ := v.(object)
		v = o[key]
	}
	return v
}

// list reads a list at a path, empty if there is none.
func list(v any, path ...string) []any {
	l, _ := at(v, path...).([]any)
	return l
}

// set writes a value at a path, creating objects along the way; it gives up if something else is in the way.
func set(o object, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		if o[key] == nil {
			o[key] = object{}
		}
		next, ok := o[key].(object)
		if !ok {
			return
		}
		o = next
	}
	o[path[len(path)-1]] = value
}

func merged[V any](a, b map[string]V) map[string]V {
	out := map[string]V{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
