// Leaves out of the page what says nothing to its reader: a schema's code as a field's default, and who inherits from whom; inherited fields stay.

import { type Application, type Context, Converter, DeclarationReflection, ReflectionKind } from "typedoc";

export function load(app: Application): void {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (_context: Context, reflection: DeclarationReflection) => {
    delete reflection.defaultValue;
  });
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }: Context) => {
    for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
      if (!(reflection instanceof DeclarationReflection)) continue;
      delete reflection.extendedTypes;
      delete reflection.typeHierarchy;
      for (const signature of reflection.signatures ?? []) delete signature.overwrites;
    }
  });
}
