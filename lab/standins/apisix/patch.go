// PATCH: merges fields into the stored object, and writes it only if nobody has written it in between.
package main

import (
	"encoding/json"
	"fmt"
	"time"
)

func (q *adminRequest) patch(conf body) (int, any, error) {
	switch {
	case q.id == "":
		return 0, nil, refuse(400, "missing %s id", q.kind.singular)
	case conf == nil:
		return 0, nil, refuse(400, "missing new configuration")
	}
	stored, err := q.etcd.get(q.ctx, q.key())
	if err != nil {
		return 0, nil, err
	}
	if stored == nil {
		return 0, nil, keyNotFound
	}
	var object body
	if err := decode(stored.Value, &object); err != nil {
		return 0, nil, err
	}
	created := object["create_time"]
	delete(object, "create_time")
	delete(object, "update_time")
	merge(object, conf)
	if err := q.check(object); err != nil {
		return 0, nil, err
	}
	object["create_time"], object["update_time"] = created, time.Now().Unix()
	value, err := json.Marshal(object)
	if err != nil {
		return 0, nil, err
	}
	return 200, body{"key": q.key(), "value": object}, q.swap(stored, value)
}

// merge recurses into objects; a list is replaced as a whole, and null removes a field.
func merge(into, fields body) {
	for name, value := range fields {
		inner, deeper := value.(body)
		old, there := into[name].(body)
		switch {
		case value == nil:
			delete(into, name)
		case deeper && there && len(old) > 0:
			merge(old, inner)
		default:
			into[name] = value
		}
	}
}

// swap writes only if the object is still what was read.
func (q *adminRequest) swap(read *keyValue, value []byte) error {
	var out struct{ Succeeded bool }
	err := q.etcd.call(q.ctx, "/v3/kv/txn", map[string]any{
		"compare": []any{map[string]any{"target": "MOD", "key": read.Key, "mod_revision": fmt.Sprint(read.ModRevision)}},
		"success": []any{map[string]any{"request_put": map[string]any{"key": read.Key, "value": value}}},
	}, &out)
	if err == nil && !out.Succeeded {
		return refuse(503, "value changed before overwritten")
	}
	return err
}
