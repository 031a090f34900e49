// Finds the packages that modules outside the tests import: they are installed beside the tests.

const BESIDE = import.meta.url;

export function resolve(specifier, context, next) {
  return /^[./#]|^(node|file|data):/.test(specifier) ? next(specifier, context) : next(specifier, { ...context, parentURL: BESIDE });
}
