export const run = () => {};
export const lifecycle = () => {};
