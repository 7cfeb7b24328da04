// The mutants of a source file: each has one operator, condition, number, boolean or statement replaced.

import ts from "typescript";

const K = ts.SyntaxKind;

const SWAPS = new Map([
  [K.LessThanToken, "<="],
  [K.LessThanEqualsToken, "<"],
  [K.GreaterThanToken, ">="],
  [K.GreaterThanEqualsToken, ">"],
  [K.EqualsEqualsEqualsToken, "!=="],
  [K.ExclamationEqualsEqualsToken, "==="],
  [K.AmpersandAmpersandToken, "||"],
  [K.BarBarToken, "&&"],
  [K.PlusToken, "-"],
  [K.MinusToken, "+"],
  [K.AmpersandToken, "|"],
  [K.BarToken, "&"],
  [K.LessThanLessThanToken, ">>"],
  [K.GreaterThanGreaterThanToken, "<<"],
  [K.PlusEqualsToken, "-="],
  [K.MinusEqualsToken, "+="],
]);

const short = (text) => text.replace(/\s+/g, " ").slice(0, 120);

/** The name of the function, method or class that a node is in. */
function placeOf(node) {
  for (let at = node.parent; at !== undefined; at = at.parent) {
    if (ts.isConstructorDeclaration(at)) return "constructor";
    if ((ts.isFunctionLike(at) || ts.isClassLike(at)) && at.name !== undefined) return at.name.getText();
  }
  return "module";
}

/**
 * Lists the mutants of a source.
 *
 * @returns {{ start: number, end: number, text: string, line: number, name: string }[]} What is replaced, by which text, and a name
 * that stays the same when lines are added elsewhere.
 */
export function mutantsOf(file, source) {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const mutants = [];
  const add = (node, text, shown = node) => {
    const start = node.getStart(tree);
    const from = shown.getStart(tree);
    const changed = source.slice(from, start) + text + source.slice(node.getEnd(), shown.getEnd());
    mutants.push({
      start,
      end: node.getEnd(),
      text,
      line: tree.getLineAndCharacterOfPosition(start).line + 1,
      name: `${file} ${placeOf(node)}: ${short(shown.getText(tree))} -> ${short(changed)}`,
    });
  };
  const addCondition = (node) => {
    add(node, "true");
    add(node, "false");
  };
  const visit = (node) => {
    if (
      ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isImportDeclaration(node)
    ) return;
    if (ts.isBinaryExpression(node) && SWAPS.has(node.operatorToken.kind)) {
      add(node.operatorToken, SWAPS.get(node.operatorToken.kind), node);
    }
    if (ts.isPrefixUnaryExpression(node) && node.operator === K.ExclamationToken) add(node, node.operand.getText(tree));
    if (ts.isIfStatement(node)) addCondition(node.expression);
    if (ts.isWhileStatement(node)) add(node.expression, "false");
    if (ts.isConditionalExpression(node)) addCondition(node.condition);
    // -1 stands for "none" or "no": every other negative number says the same.
    const isNone = ts.isPrefixUnaryExpression(node.parent ?? node) && node.parent.operator === K.MinusToken &&
      node.getText(tree) === "1";
    if (ts.isNumericLiteral(node) && !isNone) add(node, String(Number(node.text.replaceAll("_", "")) + 1), node.parent);
    if (node.kind === K.TrueKeyword) add(node, "false", node.parent);
    if (node.kind === K.FalseKeyword) add(node, "true", node.parent);
    if (ts.isExpressionStatement(node) && !node.getText(tree).startsWith("super")) add(node, ";");
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return mutants;
}
