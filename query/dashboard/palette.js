// Colours after Okabe and Ito (2008), told apart by colour-blind eyes; neutral recedes. The first lies at the bottom.
export const EXPRESSIONS = [
  ["happiness", "#e69f00"],
  ["surprise", "#56b4e9"],
  ["sadness", "#0072b2"],
  ["anger", "#d55e00"],
  ["disgust", "#009e73"],
  ["fear", "#cc79a7"],
  ["contempt", "#f0e442"],
  ["neutral", "var(--neutral)"],
];

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The colour as the chart library wants it.
export const paint = (colour) => (colour.startsWith("var(") ? variable(colour.slice(4, -1)) : colour);

// What a chart takes from the page.
export const inks = () => ({
  text: variable("--muted"),
  grid: variable("--line"),
  hatch: variable("--hatch"),
  hatchGround: variable("--hatch-ground"),
  pending: variable("--pending"),
  low: variable("--card"),
  high: variable("--accent"),
});
