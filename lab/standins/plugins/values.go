// Pulumi property values as they travel: plain JSON plus wrappers for secrets and for values not yet known in a preview.
package main

import (
	"math"

	"google.golang.org/protobuf/types/known/structpb"
)

const (
	signature   = "4dabf18193072939515e22adb298388d"
	secretValue = "1b47061264138c4ac30d75fd1eb44270"
)

// The sentinels for unknown values; the first stands for a string and is the one that the engine itself sends nearly always.
var unknownSentinels = map[string]bool{
	"04da6b54-80e4-46f7-96ec-b56ff0331ba9": true, "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7": true,
	"3eeb2bf0-c639-47a8-9e75-3b44932eb421": true, "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2": true,
	"030794c1-ac77-496b-92df-f27374a8bd58": true, "e48ece36-62e2-4504-bad9-02848725956a": true,
	"dd056dcd-154b-4c76-9bd3-c8f88648b5ff": true,
}

const unknownString = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

type (
	object  = map[string]any
	secret  struct{ value any }
	unknown struct{ sentinel string }
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
		if unknownSentinels[v.StringValue] {
			return unknown{v.StringValue}
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
	case nil:
		return structpb.NewNullValue()
	case unknown:
		return structpb.NewStringValue(v.sentinel)
	case secret:
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			signature: structpb.NewStringValue(secretValue), "value": toValue(v.value)}})
	case string:
		return structpb.NewStringValue(v)
	case bool:
		return structpb.NewBoolValue(v)
	case float64:
		return structpb.NewNumberValue(v)
	case int64:
		return structpb.NewNumberValue(float64(v))
	case int:
		return structpb.NewNumberValue(float64(v))
	case []string:
		list := &structpb.ListValue{}
		for _, e := range v {
			list.Values = append(list.Values, structpb.NewStringValue(e))
		}
		return structpb.NewListValue(list)
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
	panic("a value of no JSON type") // a defect of the stand-in, and the value may be a secret: do not print it
}

// mapValue copies v with every part for which replace says so replaced.
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

// reveal copies v without the secret wrappers; unknown parts stay.
func reveal(v any) any {
	return mapValue(v, func(v any) (any, bool) {
		if s, ok := v.(secret); ok {
			return reveal(s.value), true
		}
		return nil, false
	})
}

func revealObject(o object) object { return reveal(o).(object) }

func contains(v any, match func(any) bool) bool {
	found := false
	mapValue(v, func(v any) (any, bool) {
		found = found || match(v)
		return nil, found
	})
	return found
}

func hasUnknown(v any) bool {
	return contains(v, func(v any) bool { _, ok := v.(unknown); return ok })
}

func hasSecret(v any) bool {
	return contains(v, func(v any) bool { _, ok := v.(secret); return ok })
}

// text reads a string at a path, "" where there is none.
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

// set writes a value at a path, making the objects on the way; it gives up where something else is in the way.
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
