// Pulumi loads a policy pack by require, which ts-node intercepts for .ts files: a module of its own brings Node's type stripping.
module.exports = import("./pack.ts");
