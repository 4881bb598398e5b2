// Pulumi loads a policy pack by require, which ts-node intercepts for .ts files: importing a separate module uses Node's type stripping.
module.exports = import("./pack.ts");
