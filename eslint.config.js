// Lint rules: type-aware TypeScript, and Pulumi's own. Import rules are in .dependency-cruiser.mjs.

import pulumi from "@pulumi/eslint-plugin";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules/", ".lab/", ".labs/", "coverage/", "dist/", "renewer/bundle.cjs"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    plugins: { pulumi },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "pulumi/no-output-in-template-literal": "error",
      "@typescript-eslint/consistent-type-imports": [
        "error",
        { fixStyle: "separate-type-imports", disallowTypeAnnotations: false },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // Empty interfaces give types inferred from schemas a name, which editors and the API page show instead of all their fields.
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "with-single-extends" }],
      // Even without await, an async method turns a throw into a rejection.
      "@typescript-eslint/require-await": "off",
    },
  },
  {
    files: ["test/**", "lab/test/**"],
    rules: {
      // mocha's describe and it return nothing to await.
      "@typescript-eslint/no-floating-promises": "off",
    },
  },
);
