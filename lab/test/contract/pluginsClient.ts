// Starts a plugin the way the engine does and makes recorded calls to it over gRPC, requests and responses as plain JSON.
// Recorded JSON and the messages that the SDK generates have no static types.
/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-assignment,
   @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-return */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { binary } from "./pluginsCluster.ts";
import type { Json } from "./pluginsRecordings.ts";

const require = createRequire(import.meta.url);
// The SDK's generated messages have no useful types: fields are accessed by name.
const sdk = (name: string): any => require(`@pulumi/pulumi/proto/${name}.js`);
const struct = (() => {
  const inSDK = createRequire(require.resolve("@pulumi/pulumi/package.json"));
  return {
    grpc: inSDK("@grpc/grpc-js"),
    Struct: inSDK("google-protobuf/google/protobuf/struct_pb.js").Struct,
    Empty: inSDK("google-protobuf/google/protobuf/empty_pb.js").Empty,
    Any: inSDK("google-protobuf/google/protobuf/any_pb.js").Any,
  };
})();
const provider = sdk("provider_pb");
const language = sdk("language_pb");
const engine = sdk("engine_pb");

/** A call's outcome in the recordings' form, with the details that only direct-init-failure.json has. */
export interface Outcome {
  response?: Json;
  errors?: string[];
  details?: Json[];
}

/** One message that a plugin sent to the engine. */
export interface Message {
  readonly severity: string;
  readonly ephemeral: boolean;
  readonly message: string;
}

export interface Plugin {
  call(method: string, request: Json): Promise<Outcome>;
  /** What the plugin has told the engine since the last look. */
  messages(): Message[];
  stop(): Promise<void>;
}

const requests: Readonly<Record<string, string>> = {
  Handshake: "ProviderHandshakeRequest",
  CheckConfig: "CheckRequest",
  DiffConfig: "DiffRequest",
  Configure: "ConfigureRequest",
  Check: "CheckRequest",
  Diff: "DiffRequest",
  Create: "CreateRequest",
  Read: "ReadRequest",
  Update: "UpdateRequest",
  Delete: "DeleteRequest",
  About: "AboutRequest",
  GetRequiredPackages: "GetRequiredPackagesRequest",
  Run: "RunRequest",
};

/** Fills a message from JSON: setters by field name, maps by entry, structs as they are. */
function fill(message: any, values: Json): any {
  const setters = new Map<string, string>();
  for (let proto = Object.getPrototypeOf(message); proto !== null; proto = Object.getPrototypeOf(proto)) {
    for (const name of Object.getOwnPropertyNames(proto)) {
      if (name.startsWith("set")) setters.set(name.slice(3).replace(/List$/, "").toLowerCase(), name);
      if (name.startsWith("get") && name.endsWith("Map")) setters.set(name.slice(3, -3).toLowerCase(), name);
    }
  }
  for (const [key, value] of Object.entries<any>(values)) {
    const setter = setters.get(key.toLowerCase());
    if (setter === undefined) throw new Error(`no field ${key} in the SDK's message`);
    if (setter.startsWith("get")) {
      for (const [entry, content] of Object.entries(value)) message[setter]().set(entry, content);
    } else if (key === "info") {
      message[setter](fill(new language.ProgramInfo(), value));
    } else if (key !== "failures" && typeof value === "object" && !Array.isArray(value) && key !== "randomSeed") {
      message[setter](struct.Struct.fromJavaScript(value));
    } else {
      message[setter](value);
    }
  }
  return message;
}

const enumName = (values: Record<string, number>, value: number): string =>
  Object.keys(values).find((name) => values[name] === value) ?? String(value);

/** A message as in the recordings: fields with their default value are left out. */
function plain(message: any): Json {
  if (message instanceof struct.Struct) return message.toJavaScript();
  if (message instanceof provider.DiffResponse) {
    const detailed: Json = {};
    message.getDetaileddiffMap().forEach((diff: any, path: string) => {
      const kind = enumName(provider.PropertyDiff.Kind, diff.getKind());
      detailed[path] = compact({ kind: kind === "ADD" ? "" : kind, inputDiff: diff.getInputdiff() });
    });
    return compact({
      replaces: message.getReplacesList(),
      deleteBeforeReplace: message.getDeletebeforereplace(),
      changes: message.getChanges() === 0 ? "" : enumName(provider.DiffResponse.DiffChanges, message.getChanges()),
      diffs: message.getDiffsList(),
      detailedDiff: detailed,
      hasDetailedDiff: message.getHasdetaileddiff(),
    });
  }
  if (message instanceof provider.ConfigureResponse) {
    return compact({
      acceptSecrets: message.getAcceptsecrets(),
      supportsPreview: message.getSupportspreview(),
      acceptResources: message.getAcceptresources(),
      acceptOutputs: message.getAcceptoutputs(),
      supportsAutonamingConfiguration: message.getSupportsAutonamingConfiguration(),
    });
  }
  const out: Json = {};
  const simple = message.toObject();
  for (const [key, value] of Object.entries<any>(simple)) {
    const name = key.replace(/List$|Map$/, "");
    const getter = `get${name[0]?.toUpperCase() ?? ""}${name.slice(1)}`;
    if (key.endsWith("Map")) out[name] = Object.fromEntries(value);
    else if (key.endsWith("List")) out[name] = value.map((item: any) => compact(item));
    else if (value !== undefined && typeof value === "object") out[name] = plain(message[getter]());
    else out[name] = value;
  }
  return compact(out, ["inputs", "properties"]);
}

/** Drops what protobuf does not send: empty strings, zeros, false, empty lists. */
function compact(o: Json, keep: readonly string[] = []): Json {
  return Object.fromEntries(
    Object.entries<any>(o).filter(
      ([key, v]) =>
        (keep.includes(key) && v !== undefined) ||
        !(
          v === undefined ||
          v === "" ||
          v === 0 ||
          v === false ||
          (typeof v === "object" && Object.keys(v).length === 0)
        ),
    ),
  );
}

/** Starts the plugin called `name` (pulumi-resource-random ...) with `environment` added to this process's own. */
export async function startPlugin(
  name: string,
  folder: string,
  environment: Record<string, string> = {},
): Promise<Plugin> {
  const log: Message[] = [];
  const server = new struct.grpc.Server();
  server.addService(sdk("engine_grpc_pb").EngineService, {
    log: (call: any, answer: any) => {
      const r = call.request;
      log.push({
        severity: enumName(engine.LogSeverity, r.getSeverity()),
        ephemeral: r.getEphemeral(),
        message: r.getMessage(),
      });
      answer(null, new struct.Empty());
    },
  });
  const port: number = await new Promise((resolve, reject) =>
    server.bindAsync(
      "127.0.0.1:0",
      struct.grpc.ServerCredentials.createInsecure(),
      (error: Error | null, bound: number) => (error ? reject(error) : resolve(bound)),
    ),
  );
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  symlinkSync(binary("plugins"), path);
  const child: ChildProcess = spawn(path, [`127.0.0.1:${port}`], {
    cwd: folder,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout! });
  const address: string = await new Promise((resolve, reject) => {
    lines.once("line", (line) => resolve(`127.0.0.1:${line}`));
    child.once("exit", () => reject(new Error(`${name} exited at once`)));
  });
  const isLanguage = name.startsWith("pulumi-language-");
  const Client = isLanguage
    ? sdk("language_grpc_pb").LanguageRuntimeClient
    : sdk("provider_grpc_pb").ResourceProviderClient;
  const client = new Client(address, struct.grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  });
  return {
    call: (method, request) =>
      new Promise((resolve) => {
        const type = requests[method];
        const message =
          type === undefined ? new struct.Empty() : fill(new (isLanguage ? language : provider)[type](), request);
        const camel = method[0]!.toLowerCase() + method.slice(1);
        client[camel](message, (error: any, response: any) => {
          if (error === null) return resolve({ response: plain(response) });
          const code = enumName(struct.grpc.status, error.code)
            .toLowerCase()
            .replace(/^./, (c) => c.toUpperCase());
          resolve({ errors: [`rpc error: code = ${code} desc = ${error.details}`], details: details(error) });
        });
      }),
    messages: () => log.splice(0),
    stop: async () => {
      client.close();
      server.forceShutdown();
      if (child.exitCode === null && child.signalCode === null) {
        const gone = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGINT");
        await gone;
      }
    },
  };
}

/** The ErrorResourceInitFailed messages that came with an error. */
function details(error: any): Json[] {
  const [raw] = error.metadata.get("grpc-status-details-bin");
  if (raw === undefined) return [];
  return sdk("status_pb")
    .Status.deserializeBinary(raw)
    .getDetailsList()
    .map((any: any) => {
      const failed = provider.ErrorResourceInitFailed.deserializeBinary(any.getValue_asU8());
      return {
        typeUrl: any.getTypeUrl(),
        id: failed.getId(),
        reasons: failed.getReasonsList(),
        properties: failed.getProperties()?.toJavaScript(),
        ...(failed.getInputs() === undefined ? {} : { inputs: failed.getInputs().toJavaScript() }),
      };
    });
}
