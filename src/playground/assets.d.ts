/** Files that the build puts beside the page; what is imported is their address, relative to it. */
declare module '*.jpg' {
  const url: string;
  export default url;
}
